-- no-transaction
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

-- One person at a time: until the commit only that person's changes wait. After the index, which holds all that is added
-- up: to read 50 000 rows of a large table takes a second.
DO $$
DECLARE
    one bigint := (SELECT min(id) FROM users);
BEGIN
    WHILE one IS NOT NULL LOOP
        PERFORM rebuild_activity_totals(one, one);
        COMMIT;
        one := (SELECT min(id) FROM users WHERE id > one);
    END LOOP;
END
$$;
