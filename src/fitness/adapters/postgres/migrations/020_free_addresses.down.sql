-- no-transaction
-- The version before knows no deleted accounts: under such an address, nobody can log in to one.
UPDATE users
SET email = 'deleted account ' || id
WHERE deleted_at IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS users_email;

CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email);

DROP INDEX CONCURRENTLY IF EXISTS users_deleted;

DROP INDEX CONCURRENTLY IF EXISTS users_living_email;
