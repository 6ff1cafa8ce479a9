-- The files that activities were made of. The files themselves are in the object store.
CREATE TABLE originals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    object_name text NOT NULL UNIQUE,
    media_type text NOT NULL,
    file_name text,
    size_bytes bigint NOT NULL,
    home_timezone text NOT NULL,
    made integer NOT NULL,
    warnings text[] NOT NULL,
    request_key text,
    stored_at timestamptz NOT NULL
);

CREATE INDEX originals_of_user ON originals (user_id, id);

CREATE UNIQUE INDEX originals_request ON originals (user_id, request_key)
WHERE request_key IS NOT NULL;

-- What a file said of an activity: a field that is still the same was not edited since.
CREATE TABLE readings (
    activity_id bigint PRIMARY KEY REFERENCES activities (id) ON DELETE CASCADE,
    original_id bigint NOT NULL REFERENCES originals (id) ON DELETE CASCADE,
    number integer NOT NULL,
    details jsonb NOT NULL
);

CREATE UNIQUE INDEX readings_of_original ON readings (original_id, number);

-- Objects whose rows are deleted for good, to be deleted themselves after the commit. A name is never used twice.
CREATE TABLE released_objects (
    object_name text PRIMARY KEY,
    released_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX released_objects_oldest ON released_objects (released_at, object_name);

-- By triggers, so that whoever deletes an activity or an account for good releases its files, and none can be forgotten.
-- The originals are locked first, in one order: of two who delete the last two activities of one, the second sees that.
CREATE FUNCTION release_originals() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM originals
    WHERE id IN (SELECT original_id FROM old_rows)
    ORDER BY id
    FOR UPDATE;

    DELETE FROM originals
    WHERE id IN (SELECT original_id FROM old_rows)
        AND NOT EXISTS (SELECT FROM readings WHERE original_id = originals.id);

    RETURN NULL;
END
$$;

CREATE TRIGGER readings_release_originals
AFTER DELETE ON readings REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION release_originals();

CREATE FUNCTION release_objects() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO released_objects (object_name)
    SELECT object_name FROM old_rows
    ON CONFLICT DO NOTHING;

    RETURN NULL;
END
$$;

CREATE TRIGGER originals_release_objects
AFTER DELETE ON originals REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION release_objects();
