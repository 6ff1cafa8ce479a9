-- The pictures themselves are in the object store: each name is that of one object, and of no other photo. A purge of
-- the activity takes these rows with it.
CREATE TABLE photos (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    activity_id bigint NOT NULL REFERENCES activities ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    position integer NOT NULL CHECK (position BETWEEN 1 AND 20),
    caption text,
    created_at timestamptz NOT NULL,
    large_name text NOT NULL UNIQUE,
    large_type text NOT NULL,
    large_width integer NOT NULL,
    large_height integer NOT NULL,
    large_bytes bigint NOT NULL,
    small_name text NOT NULL UNIQUE,
    small_type text NOT NULL,
    small_width integer NOT NULL,
    small_height integer NOT NULL,
    small_bytes bigint NOT NULL,
    -- Serves the list, too. Deferrable: within a statement that moves photos, two may have one position.
    UNIQUE (activity_id, position) DEFERRABLE
);

-- Serves the erasing of accounts.
CREATE INDEX photos_of_user ON photos (user_id);

-- As with originals: whoever deletes a photo, an activity or an account for good releases the objects, too.
CREATE FUNCTION release_photo_objects() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO released_objects (object_name)
    SELECT unnest(ARRAY[large_name, small_name]) FROM old_rows
    ON CONFLICT DO NOTHING;

    RETURN NULL;
END
$$;

CREATE TRIGGER photos_release_objects
AFTER DELETE ON photos REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION release_photo_objects();
