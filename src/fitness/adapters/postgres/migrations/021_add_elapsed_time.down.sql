DROP VIEW live_activities;

CREATE VIEW live_activities AS
SELECT
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at, search_text, search_tags
FROM activities
WHERE deleted_at IS NULL;

ALTER TABLE activities
    DROP COLUMN group_id,
    DROP COLUMN is_indoor,
    DROP COLUMN elapsed_minutes;
