DROP VIEW live_activities;

CREATE VIEW live_activities AS
SELECT
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at
FROM activities
WHERE deleted_at IS NULL;

DROP TRIGGER activities_search_columns ON activities;

DROP FUNCTION keep_search_columns();

ALTER TABLE activities
    DROP COLUMN search_tags,
    DROP COLUMN search_text;

DROP FUNCTION search_tags(text[]);

DROP FUNCTION search_text(text, text);

DROP FUNCTION folded(text);
