-- From where somebody got into an account or failed to, under names that give neither address away.
-- It takes the place of failed_logins, which the version before this one still writes while both are running.
CREATE TABLE login_networks (
    account text NOT NULL,
    network text NOT NULL,
    failures integer NOT NULL CHECK (failures >= 0),
    failed_at timestamptz,
    logged_in_at timestamptz,
    kept_until timestamptz NOT NULL,
    PRIMARY KEY (account, network)
);

-- Serves the forgetting of what no longer counts.
CREATE INDEX login_networks_kept_until ON login_networks (kept_until);
