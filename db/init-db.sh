#!/bin/bash
# Runs once, when the database is first made. Statement statistics: the extension, its preload (with the next start) and its
# two settings. Tables are the service's own business: /bootstrap_db makes them.
set -euo pipefail

configuration=$PGDATA/postgresql.conf
grep -q "^shared_preload_libraries = 'pg_stat_statements'" "$configuration" || cat >>"$configuration" <<'CONF'

# db/init-db.sh
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 10000
pg_stat_statements.track = all
CONF

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --command 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements'
