DROP TABLE api_keys;

DROP TABLE revoked_sessions;

ALTER TABLE users DROP COLUMN sessions_not_before, DROP COLUMN spared_session, DROP COLUMN deleted_at;
