-- What SQLite says of its tables. Statistics are asked for only where sqlite_stat1 is there: see `sqlite_stat_tables`.

-- name: tables
SELECT name
FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND sql NOT LIKE 'CREATE VIRTUAL%'
ORDER BY name

-- name: columns
-- Hidden ones (2 and 3) are generated.
SELECT name, pk
FROM pragma_table_xinfo(?)
WHERE hidden = 0
ORDER BY cid

-- name: indexes
-- An automatic index (of a constraint) has no SQL of its own.
SELECT listed.name, listed."unique", (
    SELECT json_group_array(name)
    FROM (SELECT coalesce(name, '') AS name FROM pragma_index_info(listed.name) ORDER BY seqno)
), coalesce(entry.sql, '')
FROM pragma_index_list(?) AS listed
LEFT JOIN sqlite_schema AS entry ON entry.type = 'index' AND entry.name = listed.name
ORDER BY listed.seq

-- name: sqlite_stat_tables
SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4') ORDER BY name

-- name: statistics
SELECT idx, stat FROM sqlite_stat1 WHERE tbl = ? ORDER BY idx

-- name: size
SELECT page_count * page_size FROM pragma_page_count, pragma_page_size
