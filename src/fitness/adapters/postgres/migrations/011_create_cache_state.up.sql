-- One row: which Redis counts, since when, and whether the cache may be read.
CREATE TABLE cache_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    run_id text,
    era text NOT NULL DEFAULT '',
    closed_at timestamptz DEFAULT clock_timestamp(),
    unread boolean NOT NULL DEFAULT true,
    epoch bigint NOT NULL DEFAULT 0,
    switched_at timestamptz NOT NULL DEFAULT '-infinity'
);

INSERT INTO cache_state DEFAULT VALUES;

-- Its writer could not confirm the invalidation, and answered because the cache is closed.
ALTER TABLE cache_outbox
    ADD COLUMN unconfirmed boolean NOT NULL DEFAULT false;

-- Serves the look for them before the cache is opened; holds nothing while all is well.
CREATE INDEX cache_outbox_unconfirmed ON cache_outbox (id)
WHERE unconfirmed;
