ALTER TABLE originals
    DROP COLUMN recovered,
    DROP COLUMN existing_ids;
