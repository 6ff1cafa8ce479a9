LOCK TABLE photos IN ACCESS EXCLUSIVE MODE;

-- Without this table nobody would know whose the stored pictures are, and the next sweep would delete them.
-- guard
DO $$
BEGIN
    IF EXISTS (SELECT FROM photos) THEN
        RAISE EXCEPTION 'photos are kept: delete them first';
    END IF;
END
$$;

DROP TABLE photos;

DROP FUNCTION release_photo_objects();
