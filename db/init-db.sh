#!/bin/bash
# Runs once, when the database is first created. It enables statement statistics: it creates the
# extension, and writes its preload, which takes effect at the next start, and its two settings.
# The service itself creates the tables, on /bootstrap_db.
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
