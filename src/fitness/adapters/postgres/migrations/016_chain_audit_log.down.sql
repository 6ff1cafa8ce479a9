-- The entries stay; a later up chains them anew, as they are then.
DROP TRIGGER audit_log_is_a_chain ON audit_log;

DROP FUNCTION chain_audit_log;

ALTER TABLE audit_log DROP COLUMN position, DROP COLUMN hash;

DROP FUNCTION audit_hash;

DROP TABLE audit_head;
