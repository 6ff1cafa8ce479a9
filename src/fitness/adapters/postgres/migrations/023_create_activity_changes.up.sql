-- What happened to each person's activities, in order: one row for each change, written by the change's own statement.
-- A change takes its number from the person's counter, whose row stays locked until the change is committed. So changes
-- become visible in the order of their numbers, and who has read up to one of them misses none.
CREATE TABLE change_counters (
    user_id bigint PRIMARY KEY,
    -- The number of the latest change.
    last_seq bigint NOT NULL,
    -- The highest number that is not kept any more.
    trimmed_seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Without references: what happened outlives the activity, and each reference would be looked up and locked.
CREATE TABLE activity_changes (
    user_id bigint NOT NULL,
    seq bigint NOT NULL,
    activity_id bigint NOT NULL,
    -- The activity's, after the change; of a purged one, its last.
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('created', 'updated', 'trashed', 'restored', 'purged')),
    PRIMARY KEY (user_id, seq)
);

-- Serves the trimming of old ones.
CREATE INDEX activity_changes_at ON activity_changes (at);
