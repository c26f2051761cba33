-- What PostgreSQL says of its tables: those that this session sees without naming their schema come first.

-- name: tables
-- reltuples is -1 where nobody has looked yet; then the counters of the statistics system are what there is.
SELECT
    pg_class.relname,
    pg_namespace.nspname,
    greatest(pg_class.reltuples, stats.n_live_tup, 0)::int8,
    (
        SELECT json_agg(attname ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ),
    CASE WHEN stats.last_analyze IS NULL AND stats.last_autoanalyze IS NULL AND NOT EXISTS (
        SELECT FROM pg_stats WHERE schemaname = pg_namespace.nspname AND tablename = pg_class.relname
    ) THEN NULL ELSE greatest(pg_class.reltuples, 0)::int8 END,
    coalesce(stats.n_mod_since_analyze, 0),
    coalesce(stats.n_dead_tup, 0),
    coalesce(stats.n_tup_upd, 0),
    coalesce(stats.n_tup_hot_upd, 0),
    coalesce((SELECT json_object_agg(option_name, option_value) FROM pg_options_to_table(pg_class.reloptions)), '{}'),
    (
        SELECT coalesce(json_agg(json_build_array(
            index_class.relname,
            pg_index.indisunique,
            coalesce(pg_get_expr(pg_index.indpred, pg_index.indrelid), ''),
            (
                SELECT json_agg(coalesce(pg_attribute.attname, '') ORDER BY key.position)
                FROM unnest(pg_index.indkey[0:pg_index.indnkeyatts - 1]) WITH ORDINALITY AS key (number, position)
                LEFT JOIN pg_attribute
                    ON pg_attribute.attrelid = pg_index.indrelid AND pg_attribute.attnum = key.number AND key.number > 0
            )
        ) ORDER BY index_class.relname), '[]')
        FROM pg_index
        JOIN pg_class AS index_class ON index_class.oid = pg_index.indexrelid
        WHERE pg_index.indrelid = pg_class.oid AND pg_index.indisvalid
    )
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
LEFT JOIN pg_stat_all_tables AS stats ON stats.relid = pg_class.oid
WHERE pg_class.relkind = 'r'
    AND pg_class.relpersistence = 'p'
    AND pg_namespace.nspname NOT IN ('pg_catalog', 'information_schema')
    AND pg_namespace.nspname NOT LIKE 'perflab\_advice\_%%'
ORDER BY pg_table_is_visible(pg_class.oid) DESC, pg_namespace.nspname, pg_class.relname

-- name: has_statements
SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_stat_statements'

-- name: statements
-- The slowest of this database in all. Times are in milliseconds there. SCHEMA stands for where the extension lives.
SELECT query, calls, total_exec_time / 1000
FROM SCHEMA.pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND query ~* '^\s*(select|insert|update|delete|with|merge)\y'
    AND query !~* '\y(pg_catalog|pg_class|pg_stat_|perflab_(advice|scratch)_)'
ORDER BY total_exec_time DESC
LIMIT %s

-- name: side_effects
-- Functions among these names that are not the server's own, and that may write.
SELECT DISTINCT proname
FROM pg_proc
WHERE lower(proname) = ANY(%s) AND provolatile = 'v' AND pronamespace <> 'pg_catalog'::regnamespace
ORDER BY proname

-- name: copy_relation_statistics
SELECT pg_restore_relation_stats(
    'schemaname', %(to_schema)s::text,
    'relname', %(table)s::text,
    'relpages', relpages,
    'reltuples', reltuples,
    'relallvisible', relallvisible
)
FROM pg_class
WHERE relname = %(table)s::text AND relnamespace = %(from_schema)s::text::regnamespace

-- name: copy_column_statistics
SELECT pg_restore_attribute_stats(
    'schemaname', %(to_schema)s::text,
    'relname', %(table)s::text,
    'attname', attname::text,
    'inherited', inherited,
    'null_frac', null_frac,
    'avg_width', avg_width,
    'n_distinct', n_distinct,
    'most_common_vals', most_common_vals::text,
    'most_common_freqs', most_common_freqs,
    'histogram_bounds', histogram_bounds::text,
    'correlation', correlation
)
FROM pg_stats
WHERE schemaname = %(from_schema)s::text AND tablename = %(table)s::text AND NOT inherited
