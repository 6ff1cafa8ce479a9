-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS activities_newest;

CREATE INDEX CONCURRENTLY activities_newest ON activities (user_id, activity_date DESC, id DESC)
WHERE deleted_at IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS activities_searched;

DROP INDEX CONCURRENTLY IF EXISTS activities_listed;

ALTER TABLE activities RESET (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_scale_factor);
