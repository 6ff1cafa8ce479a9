-- What people asked for of all that is theirs. The archive is in the object store, in parts.
CREATE TABLE exports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    requested_at timestamptz NOT NULL,
    -- Which run of the job makes it: of two, the one that began last.
    run bigint,
    ready_at timestamptz,
    expires_at timestamptz,
    size_bytes bigint,
    used_at timestamptz
);

CREATE UNIQUE INDEX exports_waiting ON exports (user_id)
WHERE ready_at IS NULL;

CREATE INDEX exports_of_user ON exports (user_id, id);

CREATE TABLE export_parts (
    export_id bigint NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
    number integer NOT NULL,
    object_name text NOT NULL UNIQUE,
    PRIMARY KEY (export_id, number)
);

CREATE TRIGGER export_parts_release_objects
AFTER DELETE ON export_parts REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION release_objects();
