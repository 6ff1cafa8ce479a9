-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS activity_changes_purges;
