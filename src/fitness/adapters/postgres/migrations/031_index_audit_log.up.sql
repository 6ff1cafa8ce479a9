-- no-transaction
-- Each serves the list of the log under one of its filters, in the list's order.
DROP INDEX CONCURRENTLY IF EXISTS audit_log_by_actor;

-- Most entries have no actor, and nobody asks for those.
CREATE INDEX CONCURRENTLY audit_log_by_actor ON audit_log (actor_id, at DESC, id DESC)
WHERE actor_id IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS audit_log_by_subject;

CREATE INDEX CONCURRENTLY audit_log_by_subject ON audit_log (subject_id, at DESC, id DESC);

DROP INDEX CONCURRENTLY IF EXISTS audit_log_by_action;

CREATE INDEX CONCURRENTLY audit_log_by_action ON audit_log (action, at DESC, id DESC);
