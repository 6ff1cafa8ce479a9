LOCK TABLE originals IN ACCESS EXCLUSIVE MODE;

-- Without these tables nobody would know whose the stored files are, and the next sweep would delete them.
-- guard
DO $$
BEGIN
    IF EXISTS (SELECT FROM originals) THEN
        RAISE EXCEPTION 'uploaded files are kept: purge their activities first';
    END IF;
END
$$;

DROP TABLE readings;

DROP TABLE originals;

DROP TABLE released_objects;

DROP FUNCTION release_originals();

DROP FUNCTION release_objects();
