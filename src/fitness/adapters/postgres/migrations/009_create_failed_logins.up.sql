-- Failures in a row to log in, under a name that gives no address away.
CREATE TABLE failed_logins (
    account text PRIMARY KEY,
    count integer NOT NULL CHECK (count >= 1),
    last_at timestamptz NOT NULL
);

-- Serves the forgetting of old ones.
CREATE INDEX failed_logins_last ON failed_logins (last_at);
