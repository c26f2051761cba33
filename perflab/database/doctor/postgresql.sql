-- name: server
SELECT current_setting('server_version'), current_database(), current_user, pg_is_in_recovery(),
       current_setting('default_transaction_read_only') = 'on',
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), FALSE), pg_database_size(current_database()),
       extract(epoch FROM clock_timestamp())::double precision

-- name: settings
-- Rows that this user may not see are missing, where current_setting() would be an error.
SELECT name, setting FROM pg_settings
WHERE name IN ('autovacuum', 'data_directory', 'fsync', 'full_page_writes', 'max_connections', 'reserved_connections',
               'superuser_reserved_connections', 'synchronous_commit', 'track_counts')

-- name: connections
-- Not from pg_stat_activity, which shows a user without rights only its own.
SELECT coalesce(sum(numbackends), 0)::integer FROM pg_stat_database

-- name: tables
SELECT c.relname::text,
       has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'),
       coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), coalesce(s.n_mod_since_analyze, 0),
       greatest(s.last_analyze, s.last_autoanalyze) IS NOT NULL, pg_total_relation_size(c.oid),
       coalesce('autovacuum_enabled=false' = ANY (c.reloptions) OR 'autovacuum_enabled=off' = ANY (c.reloptions), FALSE)
FROM pg_class AS c
LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relname ~ '^perflab_' AND pg_table_is_visible(c.oid)
ORDER BY c.relname

-- name: statements_extension
-- The setting is known to the server only while the library is loaded.
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements'),
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements'),
       current_setting('pg_stat_statements.track', TRUE) IS NOT NULL

-- name: oldest_transaction
-- Of this database, because others do not hold back the clean-up of its tables; no statement text, which may hold data.
SELECT pid, coalesce(application_name, ''), coalesce(state, ''),
       extract(epoch FROM clock_timestamp() - xact_start)::double precision
FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start
LIMIT 1
