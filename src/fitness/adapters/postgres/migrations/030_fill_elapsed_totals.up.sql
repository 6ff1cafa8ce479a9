-- no-transaction
-- Some people at a time, so that whoever changes an activity waits for some milliseconds only.
DO $$
DECLARE
    first bigint := 0;
    last bigint := (SELECT max(id) FROM users);
BEGIN
    WHILE first <= last LOOP
        PERFORM rebuild_activity_totals(first, first + 19);
        COMMIT;
        first := first + 20;
    END LOOP;
END
$$;

-- With all that statistics by tag add up.
DROP INDEX CONCURRENTLY IF EXISTS activities_counted;

CREATE INDEX CONCURRENTLY activities_counted ON activities (user_id, activity_date DESC, id DESC)
INCLUDE (
    duration_minutes, local_date, distance_km, activity_type, search_tags, elevation_gain_m, calories_kcal,
    average_heart_rate_bpm, elapsed_minutes
)
WHERE deleted_at IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS activities_listed;

ALTER INDEX activities_counted RENAME TO activities_listed;

VACUUM (ANALYZE) activities;
