-- The form in which words are compared. domain/model/text.py does the same, and a test compares the two for every
-- character; what is said there holds here.
CREATE FUNCTION folded(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN octet_length(words) = char_length(words) THEN lower(words COLLATE "C")
    ELSE replace(replace(replace(
        translate(
            casefold(
                regexp_replace(
                    normalize(words, NFKD),
                    '[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]', '', 'g'
                ) COLLATE pg_unicode_fast
            ),
            'đðħıłŋøŧ‘’ʼ“”„‐–—−', 'ddhilnot''''''"""----'
        ),
        'æ', 'ae'), 'œ', 'oe'), 'þ', 'th') COLLATE "C"
END;

-- What the words of a search are looked for in; NULL where that is too long for an index entry.
CREATE FUNCTION search_text(title text, notes text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE WHEN octet_length(whole) <= 2000 THEN whole END
    FROM (
        SELECT CASE WHEN octet_length(coalesce(title, '')) + octet_length(coalesce(notes, '')) <= 2000
            THEN folded(coalesce(title, '') || E'\n' || coalesce(notes, '')) END
    ) AS one (whole)
);

-- Each tag between two separators; NULL where that is too long for an index entry, or where a tag holds a separator.
CREATE FUNCTION search_tags(tags text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE
        WHEN cardinality(tags) = 0 THEN ''
        WHEN octet_length(whole) <= 400
            AND octet_length(translate(whole, E'\x1f', '')) = octet_length(whole) - cardinality(tags) - 1
            THEN whole
    END
    FROM (SELECT E'\x1f' || array_to_string(tags, E'\x1f') || E'\x1f') AS one (whole)
);

ALTER TABLE activities
    ADD COLUMN search_text text,
    ADD COLUMN search_tags text;

CREATE FUNCTION keep_search_columns() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.search_text := search_text(NEW.title, NEW.notes);
    NEW.search_tags := search_tags(NEW.tags);
    RETURN NEW;
END
$$;

CREATE TRIGGER activities_search_columns
BEFORE INSERT OR UPDATE OF title, notes, tags ON activities
FOR EACH ROW EXECUTE FUNCTION keep_search_columns();

CREATE OR REPLACE VIEW live_activities AS
SELECT
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at, search_text, search_tags
FROM activities
WHERE deleted_at IS NULL;
