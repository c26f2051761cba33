-- Rows that the engine makes, and how large the file has become.

-- name: fill
-- As `bulk_enqueue` would have written them, one after the other, each with a number of its own.
WITH RECURSIVE numbers (number) AS (
    SELECT 0
    UNION ALL
    SELECT number + 1 FROM numbers WHERE number < :jobs - 1
)
INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, payload, enqueued_at)
SELECT
    :queue,
    :priority + number % :priorities,
    :run_at + number,
    :state,
    5,
    json_object('number', number, 'carrier', 'B6', 'flight', 23, 'origin', 'JFK', 'dest', 'LAX'),
    :now
FROM numbers

-- name: bytes
-- Of the table's file.
SELECT page_count * page_size FROM pragma_page_count, pragma_page_size

-- name: file
SELECT file FROM pragma_database_list WHERE name = 'main'

-- name: hold
SELECT count(*) FROM (SELECT 1 FROM perflab_jobs LIMIT 1)
