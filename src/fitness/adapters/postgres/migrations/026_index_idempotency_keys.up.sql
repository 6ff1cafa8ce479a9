-- no-transaction
-- Serves the forgetting of those that no longer count.
DROP INDEX CONCURRENTLY IF EXISTS idempotency_keys_age;

CREATE INDEX CONCURRENTLY idempotency_keys_age ON idempotency_keys (created_at);
