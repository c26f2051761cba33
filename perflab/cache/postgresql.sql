-- What the engine is warmed with on PostgreSQL.

-- name: prewarm_schema
-- Where the extension has its function; no row: it is not installed in this database.
SELECT quote_ident(nspname)
FROM pg_extension
JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'pg_prewarm'

-- name: buffer_bytes
SELECT pg_size_bytes(current_setting('shared_buffers'))

-- name: relations
-- Each table with its indexes, and what holds its large values, in the order in which the tables are given; the indexes
-- come first, for every look-up goes through them. No row: there is no such table.
SELECT given.name, relation.oid::int8, pg_relation_size(relation.oid)
FROM unnest(%(names)b::text[]) WITH ORDINALITY AS given (name, place)
JOIN pg_class AS base ON base.oid = to_regclass(given.name) AND base.relkind = 'r'
CROSS JOIN LATERAL (
    SELECT indexrelid AS oid, 0 AS rank FROM pg_index WHERE indrelid = base.oid
    UNION ALL
    SELECT base.oid, 1
    UNION ALL
    SELECT base.reltoastrelid, 2 WHERE base.reltoastrelid <> 0
    UNION ALL
    SELECT indexrelid, 3 FROM pg_index WHERE indrelid = base.reltoastrelid
) AS relation
ORDER BY given.place, relation.rank, relation.oid

-- name: prewarm
SELECT sum(perflab_prewarm.pg_prewarm(oid::oid::regclass)) FROM unnest(%(oids)b::int8[]) AS given (oid)
