#!/bin/sh
# Makes the role that the service connects as, and sets its password. PostgreSQL's image runs this when it makes its data
# folder; with an existing data folder, run it yourself, as often as you like:
#     docker compose exec postgres sh /docker-entrypoint-initdb.d/roles.sh
# `fitness migrate up` gives the role its rights.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$SERVICE_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
SELECT 'CREATE ROLE fitness_service LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fitness_service') \gexec
ALTER ROLE fitness_service PASSWORD :'password';
SQL
