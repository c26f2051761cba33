-- What the engine is warmed with on SQLite.

-- name: file_bytes
SELECT page_count * page_size FROM pragma_page_count, pragma_page_size

-- name: columns
SELECT name FROM pragma_table_info(?1)

-- name: indexes
-- Those that can be read from end to end, each with a column that it has: not one of some rows, or of expressions only.
SELECT list.name, min(info.name)
FROM pragma_index_list(?1) AS list
JOIN pragma_index_info(list.name) AS info
WHERE NOT list.partial
GROUP BY list.name
HAVING min(info.name) IS NOT NULL
