-- no-transaction
-- Serves the question whether somebody had anything purged since they asked for an export.
DROP INDEX CONCURRENTLY IF EXISTS activity_changes_purges;

CREATE INDEX CONCURRENTLY activity_changes_purges ON activity_changes (user_id, at)
WHERE kind = 'purged';
