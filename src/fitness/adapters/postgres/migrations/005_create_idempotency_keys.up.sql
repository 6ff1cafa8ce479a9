CREATE TABLE idempotency_keys (
    user_id bigint NOT NULL REFERENCES users (id),
    key text NOT NULL,
    fingerprint text NOT NULL,
    -- The answer goes when the activity goes, so that nothing personal outlives it.
    activity_id bigint NOT NULL REFERENCES activities (id) ON DELETE CASCADE,
    answer jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);

CREATE INDEX idempotency_keys_activity ON idempotency_keys (activity_id);
