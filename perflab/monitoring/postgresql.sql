-- What the tables say of queues, workers and watches. Counts end at a number, so that a look costs no more on a deep table,
-- and their order is that of the index, so that no plan reads the table instead; names are
-- found by skipping through the partial index of a state.

-- name: ready
-- Each priority has its own oldest job in the index of claims.
WITH RECURSIVE lines (queue, priority) AS (
    (SELECT queue, priority FROM perflab_jobs WHERE state = 'ready' ORDER BY queue, priority LIMIT 1)
    UNION ALL
    SELECT next.queue, next.priority
    FROM lines
    CROSS JOIN LATERAL (
        SELECT queue, priority
        FROM perflab_jobs
        WHERE state = 'ready' AND (queue, priority) > (lines.queue, lines.priority)
        ORDER BY queue, priority
        LIMIT 1
    ) AS next
)
SELECT
    queue,
    (
        SELECT count(*)
        FROM (
            SELECT FROM perflab_jobs AS job
            WHERE job.state = 'ready' AND job.queue = lines.queue AND job.priority = lines.priority
            ORDER BY run_at
            LIMIT %(most)s::int8
        ) AS counted
    ),
    (
        SELECT run_at FROM perflab_jobs AS job
        WHERE job.state = 'ready' AND job.queue = lines.queue AND job.priority = lines.priority
        ORDER BY run_at
        LIMIT 1
    )
FROM lines

-- name: scheduled
WITH RECURSIVE names (queue) AS (
    SELECT min(queue) FROM perflab_jobs WHERE state = 'scheduled'
    UNION ALL
    SELECT (SELECT min(queue) FROM perflab_jobs WHERE state = 'scheduled' AND perflab_jobs.queue > names.queue)
    FROM names
    WHERE queue IS NOT NULL
)
SELECT
    queue,
    (
        SELECT count(*)
        FROM (
            SELECT FROM perflab_jobs AS job
            WHERE job.state = 'scheduled' AND job.queue = names.queue
            ORDER BY run_at
            LIMIT %(most)s::int8
        ) AS counted
    ),
    (SELECT min(run_at) FROM perflab_jobs AS job WHERE job.state = 'scheduled' AND job.queue = names.queue)
FROM names
WHERE queue IS NOT NULL

-- name: running
WITH RECURSIVE names (queue) AS (
    SELECT min(queue) FROM perflab_jobs WHERE state = 'running'
    UNION ALL
    SELECT (SELECT min(queue) FROM perflab_jobs WHERE state = 'running' AND perflab_jobs.queue > names.queue)
    FROM names
    WHERE queue IS NOT NULL
)
SELECT
    queue,
    (
        SELECT count(*)
        FROM (
            SELECT FROM perflab_jobs AS job
            WHERE job.state = 'running' AND job.queue = names.queue
            ORDER BY worker_id
            LIMIT %(most)s::int8
        ) AS counted
    )
FROM names
WHERE queue IS NOT NULL

-- name: dead
WITH RECURSIVE names (queue) AS (
    SELECT min(queue) FROM perflab_jobs WHERE state = 'dead'
    UNION ALL
    SELECT (SELECT min(queue) FROM perflab_jobs WHERE state = 'dead' AND perflab_jobs.queue > names.queue)
    FROM names
    WHERE queue IS NOT NULL
)
SELECT
    queue,
    (
        SELECT count(*)
        FROM (
            SELECT FROM perflab_jobs AS job
            WHERE job.state = 'dead' AND job.queue = names.queue
            ORDER BY run_at
            LIMIT %(most)s::int8
        ) AS counted
    )
FROM names
WHERE queue IS NOT NULL

-- name: paused
SELECT name FROM perflab_queues

-- name: workers
SELECT queue, count(*) FROM perflab_workers WHERE lease_until > %(now)s::int8 GROUP BY queue

-- name: watches
SELECT
    (SELECT count(*) FROM (SELECT FROM perflab_watches WHERE enabled LIMIT %(most)s::int8) AS counted),
    (
        SELECT count(*)
        FROM (SELECT FROM perflab_watches WHERE enabled AND next_due_at <= %(now)s::int8 LIMIT %(most)s::int8) AS counted
    ),
    (
        SELECT count(*)
        FROM (SELECT FROM perflab_ingest_states WHERE consecutive_failures > 0 LIMIT %(most)s::int8) AS counted
    ),
    (SELECT min(next_due_at) FROM perflab_watches WHERE enabled)

-- name: publish
INSERT INTO perflab_metrics (process, heard_at, interval, has_ended, snapshot)
VALUES (
    %(process)s::text, extract(epoch FROM clock_timestamp()) * 1000000, %(interval)s::float8, %(has_ended)s::bool,
    %(snapshot)s::text
)
ON CONFLICT (process) DO UPDATE SET
    heard_at = excluded.heard_at, has_ended = excluded.has_ended, snapshot = excluded.snapshot

-- name: forget
DELETE FROM perflab_metrics
WHERE heard_at < extract(epoch FROM clock_timestamp()) * 1000000 - (%(keep)s::float8 + 3 * interval) * 1000000

-- name: published
SELECT
    process,
    has_ended OR heard_at < extract(epoch FROM clock_timestamp()) * 1000000 - 3 * interval * 1000000,
    snapshot
FROM perflab_metrics
WHERE heard_at >= extract(epoch FROM clock_timestamp()) * 1000000 - (%(keep)s::float8 + 3 * interval) * 1000000
ORDER BY process
