DROP INDEX cache_outbox_unconfirmed;

ALTER TABLE cache_outbox
    DROP COLUMN unconfirmed;

DROP TABLE cache_state;
