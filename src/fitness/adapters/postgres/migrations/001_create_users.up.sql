CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL,
    password_hash text NOT NULL,
    name text,
    timezone text NOT NULL,
    week_start text NOT NULL DEFAULT 'monday' CHECK (week_start IN ('monday', 'sunday')),
    role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    tier text NOT NULL DEFAULT 'free' CHECK (tier IN ('free', 'premium')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE UNIQUE INDEX users_email ON users (email);

-- Serves the operator's list.
CREATE INDEX users_by_age ON users (created_at DESC, id DESC);
