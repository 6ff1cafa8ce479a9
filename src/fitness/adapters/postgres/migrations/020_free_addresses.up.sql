-- no-transaction
-- The address of a deleted account is free at once.
DROP INDEX CONCURRENTLY IF EXISTS users_living_email;

CREATE UNIQUE INDEX CONCURRENTLY users_living_email ON users (email) WHERE deleted_at IS NULL;

-- Serves the erasing of deleted accounts.
DROP INDEX CONCURRENTLY IF EXISTS users_deleted;

CREATE INDEX CONCURRENTLY users_deleted ON users (deleted_at, id) WHERE deleted_at IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS users_email;
