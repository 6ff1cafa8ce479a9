-- no-transaction
-- A thousand rows at a time, so that whoever changes one of them waits for some milliseconds only.
DO $$
DECLARE
    first bigint := 0;
    last bigint := (SELECT max(id) FROM activities);
BEGIN
    WHILE first <= last LOOP
        UPDATE activities
        SET search_text = search_text(title, notes), search_tags = search_tags(tags)
        WHERE id BETWEEN first AND first + 999 AND (search_text IS NULL OR search_tags IS NULL);
        COMMIT;
        first := first + 1000;
    END LOOP;
END
$$;
