-- What the cache is owed: scopes whose copies a committed change made stale, until they are dropped.
CREATE TABLE cache_outbox (
    id bigint PRIMARY KEY,
    scopes text[] NOT NULL,
    owed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Serves those who settle what another left behind.
CREATE INDEX cache_outbox_oldest ON cache_outbox (owed_at);
