-- The time with all pauses, whether it was under a roof, and which activities are of one recording: NULL is unknown.
ALTER TABLE activities
    ADD COLUMN elapsed_minutes double precision,
    ADD COLUMN is_indoor boolean,
    ADD COLUMN group_id bigint;

CREATE OR REPLACE VIEW live_activities AS
SELECT
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at, search_text, search_tags, elapsed_minutes, is_indoor, group_id
FROM activities
WHERE deleted_at IS NULL;
