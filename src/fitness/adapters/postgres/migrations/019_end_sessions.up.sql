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

-- What programs call the service with; of the key itself only a digest.
CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    scopes text[] NOT NULL,
    digest bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz
);

CREATE INDEX api_keys_of_user ON api_keys (user_id, created_at DESC, id DESC);

-- Serves the forgetting of those that would have ended by now.
CREATE INDEX revoked_sessions_kept_until ON revoked_sessions (kept_until);
