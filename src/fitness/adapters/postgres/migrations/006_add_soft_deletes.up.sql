ALTER TABLE activities
    ADD COLUMN deleted_at timestamptz;

DROP INDEX activities_newest;

DROP INDEX activities_origin;

-- Serves the listing; an index on deleted_at itself would hold little but NULLs.
CREATE INDEX activities_newest ON activities (user_id, activity_date DESC, id DESC)
WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX activities_origin ON activities (user_id, source, external_id)
WHERE deleted_at IS NULL AND external_id IS NOT NULL;

-- Serves the job that empties the trash.
CREATE INDEX activities_deleted ON activities (deleted_at)
WHERE deleted_at IS NOT NULL;

-- Serves a person's trash.
CREATE INDEX activities_trash ON activities (user_id, deleted_at DESC, id DESC)
WHERE deleted_at IS NOT NULL;

CREATE VIEW live_activities AS
SELECT
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at
FROM activities
WHERE deleted_at IS NULL;
