-- From start to end, in thousandths of a minute; of an activity that does not say it, its time in motion. The default
-- is for statements that began before this and fire the triggers as they were; 030 computes everything anew.
ALTER TABLE activity_totals
    ADD COLUMN elapsed bigint NOT NULL DEFAULT 0;

-- The view and the triggers of 017, with elapsed time.
DO $do$
DECLARE
    -- Of rows with a sign: 1 for an activity that is there now, -1 for one as it was before.
    totals text := $sql$
        SELECT
            user_id, span, total_starts_on(span, local_date) AS starts_on, activity_type,
            sum(sign)::bigint AS activities,
            sum(sign * duration)::bigint AS duration,
            coalesce(sum(sign * distance), 0)::bigint AS distance_m,
            coalesce(sum(sign * climb), 0)::bigint AS climb_mm,
            coalesce(sum(sign * calories_kcal), 0)::bigint AS calories_kcal,
            coalesce(sum(sign) FILTER (WHERE distance IS NOT NULL), 0)::bigint AS with_distance,
            coalesce(sum(sign * duration) FILTER (WHERE distance IS NOT NULL), 0)::bigint AS duration_with_distance,
            coalesce(sum(sign) FILTER (WHERE heart_rate IS NOT NULL), 0)::bigint AS with_heart_rate,
            coalesce(sum(sign * duration) FILTER (WHERE heart_rate IS NOT NULL), 0)::bigint
                AS duration_with_heart_rate,
            coalesce(sum(sign * duration * heart_rate), 0)::bigint AS heartbeats,
            sum(sign * ('1e' || 8 * (local_date - total_starts_on(span, local_date)))::numeric) AS days,
            coalesce(max(duration) FILTER (WHERE sign > 0), 0) AS longest,
            coalesce(max(distance) FILTER (WHERE sign > 0), 0) AS furthest_m,
            coalesce(max(climb) FILTER (WHERE sign > 0), 0) AS most_climb_mm,
            sum(sign * elapsed)::bigint AS elapsed
        FROM %s
        GROUP BY user_id, span, total_starts_on(span, local_date), activity_type
    $sql$;
    -- The same of one activity that is there now, in half the time: most activities are inserted alone.
    totals_of_one text := $sql$
        SELECT
            user_id, span, total_starts_on(span, local_date), activity_type, 1, duration, coalesce(distance, 0),
            coalesce(climb, 0), coalesce(calories_kcal, 0), (distance IS NOT NULL)::integer,
            CASE WHEN distance IS NULL THEN 0 ELSE duration END, (heart_rate IS NOT NULL)::integer,
            CASE WHEN heart_rate IS NULL THEN 0 ELSE duration END, coalesce(duration * heart_rate, 0),
            ('1e' || 8 * (local_date - total_starts_on(span, local_date)))::numeric, duration, coalesce(distance, 0),
            coalesce(climb, 0), elapsed
        FROM %s
    $sql$;
    counted text := $sql$
        (VALUES ('month'), ('week')) AS spans (span), (
            SELECT
                sign, user_id, local_date, activity_type, calories_kcal, average_heart_rate_bpm AS heart_rate,
                (duration_minutes * 1000)::bigint AS duration,
                (coalesce(elapsed_minutes, duration_minutes) * 1000)::bigint AS elapsed,
                (distance_km * 1000)::bigint AS distance,
                (elevation_gain_m * 1000)::bigint AS climb
            FROM (%s) AS signed
            WHERE deleted_at IS NULL AND activity_type <> 'transition'
        ) AS counted
    $sql$;
    there text := format(counted, $sql$
        SELECT
            1 AS sign, user_id, local_date, activity_type, duration_minutes, distance_km, elevation_gain_m, calories_kcal,
            average_heart_rate_bpm, elapsed_minutes, deleted_at
        FROM activities
    $sql$);
    inserted text := format(counted, 'SELECT 1 AS sign, * FROM new_rows');
    deleted text := format(counted, 'SELECT -1 AS sign, * FROM old_rows');
    -- An update that changes nothing of what is counted, such as a new title, leaves the totals alone.
    changed text := $sql$
        SELECT signed.*
        FROM old_rows AS before JOIN new_rows AS after USING (id), LATERAL (
            VALUES
                (-1, before.user_id, before.local_date, before.activity_type, before.duration_minutes,
                    before.distance_km, before.elevation_gain_m, before.calories_kcal, before.average_heart_rate_bpm,
                    before.elapsed_minutes, before.deleted_at),
                (1, after.user_id, after.local_date, after.activity_type, after.duration_minutes,
                    after.distance_km, after.elevation_gain_m, after.calories_kcal, after.average_heart_rate_bpm,
                    after.elapsed_minutes, after.deleted_at)
        ) AS signed (
            sign, user_id, local_date, activity_type, duration_minutes, distance_km, elevation_gain_m, calories_kcal,
            average_heart_rate_bpm, elapsed_minutes, deleted_at
        )
        WHERE (before.user_id, before.local_date, before.activity_type, before.duration_minutes, before.distance_km,
                before.elevation_gain_m, before.calories_kcal, before.average_heart_rate_bpm,
                before.elapsed_minutes, before.deleted_at IS NULL)
            IS DISTINCT FROM (after.user_id, after.local_date, after.activity_type, after.duration_minutes,
                after.distance_km, after.elevation_gain_m, after.calories_kcal, after.average_heart_rate_bpm,
                after.elapsed_minutes, after.deleted_at IS NULL)
    $sql$;
    -- By the same order everywhere, no two statements wait for each other's totals.
    keep text := $sql$
            INSERT INTO activity_totals AS kept
            %s
            ORDER BY user_id, span, total_starts_on(span, local_date), activity_type
            ON CONFLICT (user_id, span, starts_on, activity_type) DO UPDATE
            SET activities = kept.activities + excluded.activities,
                duration = kept.duration + excluded.duration,
                distance_m = kept.distance_m + excluded.distance_m,
                climb_mm = kept.climb_mm + excluded.climb_mm,
                calories_kcal = kept.calories_kcal + excluded.calories_kcal,
                with_distance = kept.with_distance + excluded.with_distance,
                duration_with_distance = kept.duration_with_distance + excluded.duration_with_distance,
                with_heart_rate = kept.with_heart_rate + excluded.with_heart_rate,
                duration_with_heart_rate = kept.duration_with_heart_rate + excluded.duration_with_heart_rate,
                heartbeats = kept.heartbeats + excluded.heartbeats,
                elapsed = kept.elapsed + excluded.elapsed,
                days = kept.days + excluded.days,
                longest = greatest(kept.longest, excluded.longest),
                furthest_m = greatest(kept.furthest_m, excluded.furthest_m),
                most_climb_mm = greatest(kept.most_climb_mm, excluded.most_climb_mm);
    $sql$;
    keeper text := 'CREATE OR REPLACE FUNCTION keep_totals_of_%s() RETURNS trigger LANGUAGE plpgsql AS $$'
        ' BEGIN %s RETURN NULL; END $$';
BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW computed_activity_totals AS ' || format(totals, there);
    EXECUTE format(
        keeper, 'inserts',
        'IF (SELECT count(*) FROM new_rows) = 1 THEN ' || format(keep, format(totals_of_one, inserted))
        || ' ELSE ' || format(keep, format(totals, inserted)) || ' END IF;'
    );
    EXECUTE format(keeper, 'deletes', format(keep, format(totals, deleted)));
    EXECUTE format(keeper, 'updates', format(keep, format(totals, format(counted, changed))));
END
$do$;

-- Of people with ids from the first to the last. Whoever changes activities locks their owner's counter before the totals;
-- so does this, and nobody else waits. At a prompt, lock the counter, too.
CREATE OR REPLACE FUNCTION rebuild_activity_totals(first_user bigint, last_user bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change_counters AS counter (user_id, last_seq)
    SELECT id, 0
    FROM (SELECT id FROM users WHERE id BETWEEN first_user AND last_user ORDER BY id FOR KEY SHARE) AS present
    ON CONFLICT (user_id) DO UPDATE
    SET last_seq = counter.last_seq;

    DELETE FROM activity_totals WHERE user_id BETWEEN first_user AND last_user;
    INSERT INTO activity_totals
    SELECT * FROM computed_activity_totals WHERE user_id BETWEEN first_user AND last_user;
END
$$;
