ALTER TABLE cache_outbox RENAME COLUMN created_at TO owed_at;
