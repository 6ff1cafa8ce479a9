"""Fills a database with users and a given number of activities, made by PostgreSQL itself."""

import psycopg

MANY = 1
"""The id of the user with 50 000 activities."""
FEW = 2
"""The id of the user with 500 activities; everybody else has about as many."""

VOCABULARY = """
    easy long run hills lake wind cold rain sun tempo interval recovery friends felt good tired legs knee strong steady
    finish start coffee after before work morning evening night dark bright trail forest road river bridge climb descent
    flat fast slow pace heart rate breath stretch warm up down shoes new old watch battery gps lost found route loop
    back forth again never always maybe plan marathon half training week race taper goal personal best second minute
    hour kilometre mile step cadence power threshold zone two three four base build peak
"""

USERS = """
    INSERT INTO users (email, password_hash, timezone, created_at, updated_at)
    SELECT n || '@example.org', '-', 'UTC', now(), now()
    FROM generate_series(1, %(people)s) AS n
"""

# Each activity's values are computed from hashes of its number, so that they are the same each time. Its text is three
# phrases of ten words; picking from 997 phrases is a hundred times faster than composing each text from words.
ACTIVITIES = """
    WITH pool AS MATERIALIZED (
        SELECT array_agg(phrase ORDER BY n) AS phrases
        FROM (
            SELECT n, string_agg(vocabulary[1 + abs(hashint8extended(n * 100 + k, 7)) % cardinality(vocabulary)], ' ')
                AS phrase
            FROM generate_series(1, 997) AS n, generate_series(1, 10) AS k,
                (SELECT %(vocabulary)s::text[] AS vocabulary) AS words
            GROUP BY n
        ) AS phrases
    )
    INSERT INTO activities (user_id, version, activity_type, title, activity_date, timezone, local_date,
        duration_minutes, distance_km, elevation_gain_m, calories_kcal, average_heart_rate_bpm, notes, tags, source,
        created_at, updated_at{columns})
    SELECT person, 1, kind, title, at, 'Europe/Paris', (at AT TIME ZONE 'Europe/Paris')::date,
        duration, distance, climb, calories, heart_rate, notes, tags, 'manual', at, at{values}
    FROM (
        SELECT
            CASE WHEN i % (%(rows)s / 50000) = 0 THEN 1 WHEN i % (%(rows)s / 500) = 1 THEN 2
                ELSE 3 + a % (%(people)s - 2) END AS person,
            CASE WHEN b % 1000 = 0 THEN 'golf'
                ELSE (ARRAY['run', 'run', 'run', 'run', 'run', 'ride', 'ride', 'ride', 'swim', 'walk'])[1 + b % 10]
                END AS kind,
            CASE WHEN d % 3 > 0 THEN 'Morning ' || b % 100 END AS title,
            timestamptz '2006-01-01' + i * (interval '20 years' / %(rows)s) + c % 86400 * interval '1 second' AS at,
            (50 + d % 1750) / 10.0 AS duration,
            CASE WHEN a % 5 > 0 THEN (c % 50000) / 1000.0 END AS distance,
            CASE WHEN b % 5 > 0 THEN (a % 8000) / 8.0 END AS climb,
            CASE WHEN c % 3 > 0 THEN d % 1000 END AS calories,
            CASE WHEN d % 4 > 0 THEN 100 + a % 64 END AS heart_rate,
            phrases[1 + a % 997] || ' ' || phrases[1 + b % 997] || ' ' || phrases[1 + c % 997]
                || CASE WHEN d % 5000 = 0 THEN ' quokka' WHEN d % 10 = 1 THEN ' au café d''été' ELSE '' END AS notes,
            CASE WHEN b % 2 = 0 THEN '{{}}'::text[] WHEN c % 50 = 0 THEN ARRAY['race', 'hills']
                WHEN c % 3 = 0 THEN ARRAY['hills'] ELSE ARRAY['commute', 'rain'] END AS tags
        FROM pool, (
            SELECT i, abs(hashint8extended(i, 1)) AS a, abs(hashint8extended(i, 2)) AS b,
                abs(hashint8extended(i, 3)) AS c, abs(hashint8extended(i, 4)) AS d
            FROM generate_series(1, %(rows)s) AS i
        ) AS drawn
    ) AS made
"""

HAS_COLUMNS = "SELECT FROM information_schema.columns WHERE table_name = 'activities' AND column_name = 'search_text'"


def fill(url: str, rows: int) -> None:
    """Insert `rows` activities, at least 100 000, into an empty database."""
    people = 2 + max(1, (rows - 50_500) // 500)
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        # Disables triggers and the checks of foreign keys; this function writes what the trigger would.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute(USERS, {"people": people})
        searched = connection.execute(HAS_COLUMNS).fetchone() is not None
        statement = ACTIVITIES.replace("{columns}", ", search_text, search_tags" if searched else "")
        statement = statement.replace("{values}", ", search_text(title, notes), search_tags(tags)" if searched else "")
        given = {"rows": rows, "people": people, "vocabulary": VOCABULARY.split()}
        connection.execute(escaped(statement).encode(), given)


def escaped(statement: str) -> str:
    """The statement with every % doubled that does not begin a parameter, as psycopg needs it."""
    return statement.replace("{{}}", "{}").replace("%", "%%").replace("%%(", "%(")
