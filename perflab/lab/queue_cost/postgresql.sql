-- Rows that the server makes, and how large the table has become.

-- name: fill
-- As `bulk_enqueue` would have written them, one after the other, each with a number of its own.
INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, payload, enqueued_at)
SELECT
    %(queue)s::text,
    %(priority)s::int8 + number %% %(priorities)s::int8,
    %(run_at)s::int8 + number,
    %(state)s::text,
    5,
    json_build_object('number', number, 'carrier', 'B6', 'flight', 23, 'origin', 'JFK', 'dest', 'LAX'),
    %(now)s::int8
FROM generate_series(0, %(jobs)s::int8 - 1) AS number
ORDER BY number

-- name: tidy
-- As autovacuum does after so many rows.
VACUUM (ANALYZE) perflab_jobs

-- name: bytes
-- With indexes and all.
SELECT pg_total_relation_size('perflab_jobs')

-- name: report_statistics
-- Otherwise a connection tells of the rows that it has left behind when it is idle, and they are counted after a VACUUM
-- that has removed them.
SELECT pg_stat_force_next_flush()

-- name: dead_rows
-- As the last VACUUM left them.
SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'perflab_jobs'::regclass

-- name: hold
SELECT count(*) FROM (SELECT FROM perflab_jobs LIMIT 1) AS looked_at
