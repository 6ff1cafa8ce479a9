-- What an import answered beside its activities and warnings, for the request that is sent again with the same key. The
-- defaults are for rows of before, and for processes that do not know the columns yet.
ALTER TABLE originals
    ADD COLUMN recovered boolean NOT NULL DEFAULT false,
    ADD COLUMN existing_ids bigint[] NOT NULL DEFAULT '{}';
