-- What the tables say of queues, workers and watches. Counts end at a number, so that a look costs no more on a deep table,
-- and their order is that of the index, so that no plan reads the table instead; names are
-- found by skipping through the partial index of a state. julianday counts from 4714 BC; 2440587.5 is 1970.

-- name: ready
-- Each priority has its own oldest job in the index of claims.
WITH RECURSIVE lines (queue, priority) AS (
    SELECT * FROM (SELECT queue, priority FROM perflab_jobs WHERE state = 'ready' ORDER BY queue, priority LIMIT 1)
    UNION ALL
    SELECT
        (
            SELECT queue FROM perflab_jobs
            WHERE state = 'ready' AND (perflab_jobs.queue, perflab_jobs.priority) > (lines.queue, lines.priority)
            ORDER BY queue, priority
            LIMIT 1
        ),
        (
            SELECT priority FROM perflab_jobs
            WHERE state = 'ready' AND (perflab_jobs.queue, perflab_jobs.priority) > (lines.queue, lines.priority)
            ORDER BY queue, priority
            LIMIT 1
        )
    FROM lines
    WHERE lines.queue IS NOT NULL
)
SELECT
    queue,
    (
        SELECT count(*)
        FROM (
            SELECT 1 FROM perflab_jobs AS job
            WHERE job.state = 'ready' AND job.queue = lines.queue AND job.priority = lines.priority
            ORDER BY run_at
            LIMIT :most
        ) AS counted
    ),
    (
        SELECT run_at FROM perflab_jobs AS job
        WHERE job.state = 'ready' AND job.queue = lines.queue AND job.priority = lines.priority
        ORDER BY run_at
        LIMIT 1
    )
FROM lines
WHERE queue IS NOT NULL

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
            SELECT 1 FROM perflab_jobs AS job
            WHERE job.state = 'scheduled' AND job.queue = names.queue
            ORDER BY run_at
            LIMIT :most
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
            SELECT 1 FROM perflab_jobs AS job
            WHERE job.state = 'running' AND job.queue = names.queue
            ORDER BY worker_id
            LIMIT :most
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
            SELECT 1 FROM perflab_jobs AS job
            WHERE job.state = 'dead' AND job.queue = names.queue
            ORDER BY run_at
            LIMIT :most
        ) AS counted
    )
FROM names
WHERE queue IS NOT NULL

-- name: paused
SELECT name FROM perflab_queues

-- name: workers
SELECT queue, count(*) FROM perflab_workers WHERE lease_until > :now GROUP BY queue

-- name: watches
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM perflab_watches WHERE enabled LIMIT :most) AS counted),
    (
        SELECT count(*)
        FROM (SELECT 1 FROM perflab_watches WHERE enabled AND next_due_at <= :now LIMIT :most) AS counted
    ),
    (
        SELECT count(*)
        FROM (SELECT 1 FROM perflab_ingest_states WHERE consecutive_failures > 0 LIMIT :most) AS counted
    ),
    (SELECT min(next_due_at) FROM perflab_watches WHERE enabled)

-- name: publish
INSERT INTO perflab_metrics (process, heard_at, interval, has_ended, snapshot)
VALUES (
    :process, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), :interval, :has_ended,
    :snapshot
)
ON CONFLICT (process) DO UPDATE SET
    heard_at = excluded.heard_at, has_ended = excluded.has_ended, snapshot = excluded.snapshot

-- name: forget
DELETE FROM perflab_metrics
WHERE heard_at < (julianday('now') - 2440587.5) * 86400000000 - (:keep + 3 * interval) * 1000000

-- name: published
SELECT
    process,
    has_ended OR heard_at < (julianday('now') - 2440587.5) * 86400000000 - 3 * interval * 1000000,
    snapshot
FROM perflab_metrics
WHERE heard_at >= (julianday('now') - 2440587.5) * 86400000000 - (:keep + 3 * interval) * 1000000
ORDER BY process
