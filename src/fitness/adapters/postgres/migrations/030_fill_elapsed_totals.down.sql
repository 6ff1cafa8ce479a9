-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS activities_smaller;

CREATE INDEX CONCURRENTLY activities_smaller ON activities (user_id, activity_date DESC, id DESC)
INCLUDE (
    duration_minutes, local_date, distance_km, activity_type, search_tags, elevation_gain_m, calories_kcal,
    average_heart_rate_bpm
)
WHERE deleted_at IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS activities_listed;

ALTER INDEX activities_smaller RENAME TO activities_listed;
