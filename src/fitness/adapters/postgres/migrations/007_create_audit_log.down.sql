LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE;

-- guard
DO $$
BEGIN
    IF coalesce(current_setting('fitness.drop_audit_log', true), '') <> 'on' AND EXISTS (SELECT FROM audit_log) THEN
        RAISE EXCEPTION 'the audit log is not empty, and its entries would be lost: add --drop-audit-log to lose them';
    END IF;
END
$$;

DROP TABLE audit_log;

DROP FUNCTION refuse_change_of_audit_log;
