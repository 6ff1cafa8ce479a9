ALTER TABLE activities
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
