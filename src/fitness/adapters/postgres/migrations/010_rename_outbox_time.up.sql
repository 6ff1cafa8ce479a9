ALTER TABLE cache_outbox RENAME COLUMN owed_at TO created_at;
