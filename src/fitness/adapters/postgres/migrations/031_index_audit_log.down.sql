-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS audit_log_by_action;

DROP INDEX CONCURRENTLY IF EXISTS audit_log_by_subject;

DROP INDEX CONCURRENTLY IF EXISTS audit_log_by_actor;
