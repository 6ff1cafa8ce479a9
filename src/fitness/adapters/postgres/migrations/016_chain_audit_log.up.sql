-- Each entry has a hash over its own fields and the hash of the entry before it. Whoever changes, inserts or removes an
-- entry has to compute every later one anew, and audit_head shows what is missing at the end.
LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE;

CREATE TABLE audit_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL,
    hash bytea NOT NULL
);

INSERT INTO audit_head (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- fitness.domain.model.audit_chain computes the same, and `fitness doctor` compares.
CREATE FUNCTION audit_hash(
    previous bytea, place bigint, entry_id bigint, entry_at timestamptz, entry_actor_id bigint, entry_action text,
    entry_subject_id bigint, entry_owner_id bigint, entry_reason text
) RETURNS bytea
LANGUAGE sql STABLE
RETURN sha256(previous || convert_to(
    json_build_array(
        place, entry_id, (extract(epoch FROM entry_at) * 1000000)::bigint, entry_actor_id, entry_action,
        entry_subject_id, entry_owner_id, entry_reason
    )::text, 'UTF8'
));

ALTER TABLE audit_log ADD COLUMN position bigint, ADD COLUMN hash bytea;

ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only;

DO $$
DECLARE
    entry record;
    place bigint := 0;
    previous bytea := (SELECT hash FROM audit_head);
BEGIN
    FOR entry IN SELECT * FROM audit_log ORDER BY id LOOP
        place := place + 1;
        previous := audit_hash(
            previous, place, entry.id, entry.at, entry.actor_id, entry.action, entry.subject_id, entry.owner_id,
            entry.reason
        );
        UPDATE audit_log SET position = place, hash = previous WHERE id = entry.id;
    END LOOP;
    UPDATE audit_head SET position = place, hash = previous;
END
$$;

ALTER TABLE audit_log ENABLE TRIGGER audit_log_is_append_only;

ALTER TABLE audit_log
ALTER COLUMN position SET NOT NULL,
ALTER COLUMN hash SET NOT NULL,
ADD CONSTRAINT audit_log_position UNIQUE (position);

-- The row of audit_head is locked from here to the commit, so that entries written at the same time make one chain.
-- It belongs to the owner of the tables: whoever may only INSERT into audit_log cannot reach audit_head past it.
CREATE FUNCTION chain_audit_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE audit_head
    SET position = position + 1,
        hash = audit_hash(
            hash, position + 1, NEW.id, NEW.at, NEW.actor_id, NEW.action, NEW.subject_id, NEW.owner_id, NEW.reason
        )
    RETURNING position, hash INTO STRICT NEW.position, NEW.hash;
    RETURN NEW;
END
$$;

-- Without this, a temporary table named audit_head would be found first.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION chain_audit_log() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END
$$;

CREATE TRIGGER audit_log_is_a_chain
BEFORE INSERT ON audit_log
FOR EACH ROW EXECUTE FUNCTION chain_audit_log();
