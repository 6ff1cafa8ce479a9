-- What ends sessions before their time. The sessions themselves are in Redis; a Redis that lost its data revives none.
-- An account that was deleted can be restored for a while.
ALTER TABLE users
ADD COLUMN sessions_not_before timestamptz,
ADD COLUMN spared_session text,
ADD COLUMN deleted_at timestamptz;

CREATE TABLE revoked_sessions (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id text NOT NULL,
    revoked_at timestamptz NOT NULL,
    kept_until timestamptz NOT NULL,
    PRIMARY KEY (user_id, session_id)
);

-- Serves the forgetting of those that would have ended by now.
CREATE INDEX revoked_sessions_kept_until ON revoked_sessions (kept_until);
