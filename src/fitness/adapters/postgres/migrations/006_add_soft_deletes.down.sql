LOCK TABLE activities IN ACCESS EXCLUSIVE MODE;

-- Without the column a trashed activity would be live again.
-- guard
DO $$
BEGIN
    IF EXISTS (SELECT FROM activities WHERE deleted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the trash is not empty: restore or purge what is in it first';
    END IF;
END
$$;

DROP VIEW live_activities;

DROP INDEX activities_trash;

DROP INDEX activities_deleted;

DROP INDEX activities_origin;

DROP INDEX activities_newest;

ALTER TABLE activities
    DROP COLUMN deleted_at;

CREATE INDEX activities_newest ON activities (user_id, activity_date DESC, id DESC);

CREATE UNIQUE INDEX activities_origin ON activities (user_id, source, external_id)
WHERE external_id IS NOT NULL;
