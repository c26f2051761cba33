-- The queue's statements on SQLite. Many ids travel as one JSON array: one parameter, one plan, no limit on variables.
-- Whoever runs them holds the write lock (BEGIN IMMEDIATE), so that nothing changes between two statements.

-- name: held_keys
-- Unfinished jobs that hold one of these keys. CROSS JOIN keeps the order: each key is looked up in the partial index.
SELECT perflab_jobs.key, perflab_jobs.id, state
FROM json_each(?2) AS wanted
CROSS JOIN perflab_jobs ON queue = ?1 AND perflab_jobs.key = wanted.value AND state <> 'dead'

-- name: enqueue
-- The row after VALUES is repeated for as many jobs as one statement takes. OR FAIL spares the statement a copy of every
-- page that it writes to, in case it must undo a part of its rows: if one fails, the transaction is rolled back. (1.7 µs a
-- job instead of 2.2.)
INSERT OR FAIL INTO perflab_jobs (queue, enqueued_at, payload, payload_zstd, priority, max_attempts, run_at, key, state)
VALUES (?1, ?2, ?, ?, ?, ?, ?, ?, ?)

-- name: free_keys
-- Running jobs that are to be replaced: they go on without their key, and are not tried again if they fail.
UPDATE perflab_jobs SET key = NULL, max_attempts = attempt WHERE id IN (SELECT value FROM json_each(?1))

-- name: replace
-- The attempts so far are kept, because a number that came again would make an old acknowledgement fit.
UPDATE perflab_jobs
SET payload = ?1,
    payload_zstd = ?2,
    priority = ?3,
    max_attempts = min(attempt + ?4, 32767),
    run_at = ?5,
    key = ?6,
    state = ?7,
    enqueued_at = ?8,
    last_error = NULL
WHERE id = ?9

-- name: promote
-- Scheduled jobs whose time has come. Their own index keeps a million future ones out of the way of a claim.
UPDATE perflab_jobs
SET state = 'ready'
WHERE id IN (
    SELECT id
    FROM perflab_jobs
    WHERE queue = ?1 AND state = 'scheduled' AND run_at <= ?2
    ORDER BY run_at
    LIMIT ?3
)

-- name: claim
-- The partial index of ready jobs has this very order, so that nothing is sorted. RETURNING promises no order. Whether
-- the queue is paused is asked once, before any job is read, and so is whether the lease of the worker still holds.
UPDATE perflab_jobs
SET state = 'running', attempt = attempt + 1, lease_until = ?3, worker = ?4, worker_id = ?5
WHERE id IN (
    SELECT id
    FROM perflab_jobs
    WHERE queue = ?1
        AND state = 'ready'
        AND NOT EXISTS (SELECT 1 FROM perflab_queues WHERE name = ?1)
        AND (?5 IS NULL OR EXISTS (SELECT 1 FROM perflab_workers WHERE id = ?5 AND lease_until > ?6))
    ORDER BY priority, run_at, id
    LIMIT ?2
)
RETURNING priority, run_at, id, payload, attempt, max_attempts, key, payload_zstd

-- name: claim_aged
-- By virtual deadline, run_at + priority * ageing, out of the same index: each priority's jobs stand there by run_at, so that
-- the next ones of all are among the next ones of each. Finding the priorities takes a look-up for each of them. An array
-- is how one row of a join gets several rows of another table, and no more than it asks for.
WITH RECURSIVE levels (priority) AS (
    SELECT min(priority) FROM perflab_jobs WHERE queue = ?1 AND state = 'ready'
    UNION ALL
    SELECT (
        SELECT min(priority)
        FROM perflab_jobs
        WHERE queue = ?1 AND state = 'ready' AND perflab_jobs.priority > levels.priority
    )
    FROM levels
    WHERE levels.priority IS NOT NULL
)
UPDATE perflab_jobs
SET state = 'running', attempt = attempt + 1, lease_until = ?3, worker = ?4, worker_id = ?5
WHERE id IN (
    SELECT job.id
    FROM levels
    CROSS JOIN json_each((
        SELECT json_group_array(id)
        FROM (
            SELECT id
            FROM perflab_jobs
            WHERE queue = ?1 AND state = 'ready' AND perflab_jobs.priority = levels.priority
            ORDER BY run_at, id
            LIMIT ?2
        )
    )) AS next
    CROSS JOIN perflab_jobs AS job ON job.id = next.value
    WHERE NOT EXISTS (SELECT 1 FROM perflab_queues WHERE name = ?1)
        AND (?5 IS NULL OR EXISTS (SELECT 1 FROM perflab_workers WHERE id = ?5 AND lease_until > ?6))
    ORDER BY job.run_at + job.priority * ?7, job.priority, job.id
    LIMIT ?2
)
RETURNING priority, run_at, id, payload, attempt, max_attempts, key, payload_zstd

-- name: mark_done
-- The fence: id, attempt and state. A job that somebody else holds by now has another attempt.
DELETE FROM perflab_jobs
WHERE id IN (SELECT value FROM json_each(?1)) AND attempt = ?2 AND state = 'running'

-- name: lost
-- Before mark_done, in the same transaction: what that one will pass over.
SELECT value
FROM json_each(?1)
WHERE NOT EXISTS (SELECT 1 FROM perflab_jobs WHERE id = value AND attempt = ?2 AND state = 'running')

-- name: copy_done
-- Before mark_done, in the same transaction, where finished jobs are kept.
INSERT INTO perflab_jobs_done
    (id, queue, priority, run_at, attempt, key, payload, payload_zstd, enqueued_at, done_at, result)
SELECT id, queue, priority, run_at, attempt, key, payload, payload_zstd, enqueued_at, ?3, 'null'
FROM perflab_jobs
WHERE id IN (SELECT value FROM json_each(?1)) AND attempt = ?2 AND state = 'running'

-- name: keep_result
UPDATE perflab_jobs_done SET result = ?, result_zstd = ? WHERE id = ?

-- name: release
-- The attempt is kept, because taking it back would make an old acknowledgement of the same number fit again; the
-- bound moves instead, so that the release costs no attempt. Both end at 32767.
UPDATE perflab_jobs
SET state = CASE WHEN attempt < 32767 THEN 'ready' ELSE 'dead' END,
    run_at = CASE WHEN attempt < 32767 THEN run_at ELSE ?3 END,
    max_attempts = min(max_attempts + 1, 32767),
    lease_until = NULL,
    worker = NULL,
    worker_id = NULL
WHERE id IN (SELECT value FROM json_each(?1)) AND attempt = ?2 AND state = 'running'
RETURNING id, attempt

-- name: extend_lease
-- A job of a worker's lease gets one of its own.
UPDATE perflab_jobs
SET lease_until = ?3,
    worker = coalesce(worker, (SELECT name FROM perflab_workers WHERE perflab_workers.id = worker_id)),
    worker_id = NULL
WHERE id IN (SELECT value FROM json_each(?1)) AND attempt = ?2 AND state = 'running'
RETURNING id, attempt

-- name: mark_error
-- ?1 is a JSON array of [id, attempt, delay in microseconds, error]. A delay below 0 ends the job. A dead job's run_at is
-- the time of its death.
UPDATE perflab_jobs
SET state = CASE WHEN perflab_jobs.attempt < max_attempts AND delay >= 0 THEN 'scheduled' ELSE 'dead' END,
    run_at = ?2 + CASE WHEN perflab_jobs.attempt < max_attempts AND delay >= 0 THEN delay ELSE 0 END,
    last_error = failed.error,
    lease_until = NULL,
    worker = NULL,
    worker_id = NULL
FROM (
    SELECT
        json_extract(value, '$[0]') AS id,
        json_extract(value, '$[1]') AS attempt,
        json_extract(value, '$[2]') AS delay,
        json_extract(value, '$[3]') AS error
    FROM json_each(?1)
) AS failed
WHERE perflab_jobs.id = failed.id AND perflab_jobs.attempt = failed.attempt AND state = 'running'
RETURNING id, attempt

-- name: report_progress
-- ?1 is a JSON array of [id, attempt, fraction, note].
UPDATE perflab_jobs
SET progress = reported.fraction,
    progress_note = reported.note,
    progress_attempt = reported.attempt,
    progress_at = ?2
FROM (
    SELECT
        json_extract(value, '$[0]') AS id,
        json_extract(value, '$[1]') AS attempt,
        json_extract(value, '$[2]') AS fraction,
        json_extract(value, '$[3]') AS note
    FROM json_each(?1)
) AS reported
WHERE perflab_jobs.id = reported.id AND perflab_jobs.attempt = reported.attempt AND state = 'running'
RETURNING id, attempt

-- name: progress
-- The unary plus keeps the queue from being looked up: the key is the way in.
SELECT id, progress_attempt, progress, progress_note, progress_at
FROM perflab_jobs
WHERE id IN (SELECT value FROM json_each(?1)) AND +queue = ?2 AND progress_at IS NOT NULL

-- name: cancel
DELETE FROM perflab_jobs
WHERE id IN (SELECT value FROM json_each(?1)) AND queue = ?2 AND state IN ('scheduled', 'ready')
RETURNING id

-- name: retry
-- OR IGNORE passes over a job whose key belongs to an unfinished one by now. NOT INDEXED still looks up by id; without
-- it, SQLite reads all dead jobs of the queue through their index.
UPDATE OR IGNORE perflab_jobs NOT INDEXED
SET state = 'ready', run_at = ?4, max_attempts = min(attempt + ?3, 32767)
WHERE id IN (SELECT value FROM json_each(?1)) AND queue = ?2 AND state = 'dead' AND attempt < 32767
RETURNING id

-- name: redrive
-- What `retry` passes over is passed over before LIMIT, so that others get their turn, however many of these there are.
-- OR IGNORE passes over all but the first of several with one key.
UPDATE OR IGNORE perflab_jobs
SET state = 'ready', run_at = ?4, max_attempts = min(attempt + ?3, 32767)
WHERE id IN (
    SELECT id
    FROM perflab_jobs AS job
    WHERE queue = ?1
        AND state = 'dead'
        AND attempt < 32767
        AND NOT EXISTS (
            SELECT 1
            FROM perflab_jobs AS holder
            WHERE holder.queue = ?1 AND holder.key = job.key AND holder.state <> 'dead'
        )
    ORDER BY run_at, id
    LIMIT ?2
)
RETURNING id

-- name: dead_jobs
-- A page, backwards through the index from where the last page ended.
SELECT run_at, id, payload, payload_zstd, priority, attempt, key, last_error, enqueued_at
FROM perflab_jobs
WHERE queue = ?1 AND state = 'dead' AND (run_at, id) < (?3, ?4)
ORDER BY run_at DESC, id DESC
LIMIT ?2

-- name: done_jobs
-- The same for finished ones.
SELECT done_at, id, payload, payload_zstd, result, result_zstd, priority, attempt, key, enqueued_at
FROM perflab_jobs_done
WHERE queue = ?1 AND (done_at, id) < (?3, ?4)
ORDER BY done_at DESC, id DESC
LIMIT ?2

-- name: find_done
-- The unary plus keeps the queue from being looked up: the key is the way in.
SELECT done_at, id, payload, payload_zstd, result, result_zstd, priority, attempt, key, enqueued_at
FROM perflab_jobs_done
WHERE id IN (SELECT value FROM json_each(?1)) AND +queue = ?2

-- name: purge_done
DELETE FROM perflab_jobs_done
WHERE id IN (
    SELECT id
    FROM perflab_jobs_done
    WHERE queue = ?1 AND done_at <= ?2
    ORDER BY done_at
    LIMIT ?3
)
RETURNING id

-- name: pause
INSERT INTO perflab_queues (name, paused_at) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING RETURNING name

-- name: resume
DELETE FROM perflab_queues WHERE name = ?1 RETURNING name

-- name: paused_at
SELECT paused_at FROM perflab_queues WHERE name = ?1

-- name: open_lease
INSERT INTO perflab_workers (queue, name, started_at, lease_until) VALUES (?1, ?2, ?3, ?4) RETURNING id

-- name: renew_lease
-- One row for all jobs. What has run out once stays lost, because its jobs may be with others already.
UPDATE perflab_workers SET lease_until = ?3 WHERE id = ?1 AND lease_until > ?2 RETURNING id

-- name: close_lease
DELETE FROM perflab_workers WHERE id = ?1

-- name: keep_jobs
-- For a new lease: what is still held by its id and attempt.
UPDATE perflab_jobs
SET worker_id = ?3, lease_until = NULL, worker = NULL
WHERE id IN (SELECT value FROM json_each(?1)) AND attempt = ?2 AND state = 'running'
RETURNING id, attempt

-- name: release_worker
-- What a closed lease leaves, as `release` does it.
UPDATE perflab_jobs
SET state = CASE WHEN attempt < 32767 THEN 'ready' ELSE 'dead' END,
    run_at = CASE WHEN attempt < 32767 THEN run_at ELSE ?3 END,
    max_attempts = min(max_attempts + 1, 32767),
    lease_until = NULL,
    worker = NULL,
    worker_id = NULL
WHERE queue = ?1 AND state = 'running' AND worker_id = ?2
RETURNING id

-- name: give_up_workers
-- Leases of workers that have run out are lost for good from here on, whatever the clocks of others say.
UPDATE perflab_workers SET lease_until = 0 WHERE queue = ?1 AND lease_until <= ?2 AND lease_until > 0

-- name: rescue_expired
-- Jobs whose own lease has run out, the oldest first, and then those of workers that are given up. Both come from the
-- index of running jobs and see no other job: there is nothing to pass over.
-- After its first attempt a job is ready at once: workers die of their own. After others it may be what kills them, and
-- waits as the back-off says, so that jobs which were held together with it do not meet it again and die with it.
UPDATE perflab_jobs
SET state = CASE WHEN attempt >= max_attempts THEN 'dead' WHEN attempt = 1 THEN 'ready' ELSE 'scheduled' END,
    run_at = CASE
        WHEN attempt >= max_attempts THEN ?2
        WHEN attempt = 1 THEN run_at
        ELSE ?2 + CAST(
            min(?5, ?4 * (1 << min(attempt - 1, 60)))
            * (id * 0.6180339887498949 + ?6 - CAST(id * 0.6180339887498949 + ?6 AS INTEGER))
            AS INTEGER
        )
    END,
    last_error = 'the lease of attempt ' || attempt || ' ran out' || coalesce(
        ' at worker ' || coalesce(worker, (SELECT nullif(name, '') FROM perflab_workers WHERE perflab_workers.id = worker_id)),
        ''
    ),
    lease_until = NULL,
    worker = NULL,
    worker_id = NULL
WHERE id IN (
    SELECT id
    FROM (
        SELECT id
        FROM perflab_jobs
        WHERE queue = ?1 AND state = 'running' AND worker_id IS NULL AND lease_until <= ?2
        ORDER BY lease_until
        LIMIT ?3
    )
    UNION ALL
    SELECT id
    FROM (
        SELECT perflab_jobs.id
        FROM perflab_workers
        CROSS JOIN perflab_jobs
        WHERE perflab_workers.queue = ?1
            AND perflab_workers.lease_until = 0
            AND perflab_jobs.queue = ?1
            AND state = 'running'
            AND worker_id = perflab_workers.id
        LIMIT ?3
    )
    LIMIT ?3
)
RETURNING state

-- name: forget_workers
-- Those that are given up and hold nothing any more.
DELETE FROM perflab_workers
WHERE queue = ?1
    AND lease_until = 0
    AND NOT EXISTS (
        SELECT 1 FROM perflab_jobs WHERE perflab_jobs.queue = ?1 AND state = 'running' AND worker_id = perflab_workers.id
    )

-- name: purge
DELETE FROM perflab_jobs
WHERE id IN (
    SELECT id
    FROM perflab_jobs
    WHERE queue = ?1 AND state = 'dead' AND run_at <= ?2
    ORDER BY run_at
    LIMIT ?3
)
RETURNING id

-- name: count_waiting
-- No more than asked for: how much more wait is nobody's business here, and would take its time.
SELECT count(*)
FROM (
    SELECT 1 FROM perflab_jobs WHERE queue = ?1 AND state = 'ready'
    UNION ALL
    SELECT 1 FROM perflab_jobs WHERE queue = ?1 AND state = 'scheduled'
    LIMIT ?2
) AS waiting

-- name: counts
-- One subquery for each state, because each has its own index.
SELECT
    (SELECT count(*) FROM perflab_jobs WHERE queue = ?1 AND state = 'scheduled'),
    (SELECT count(*) FROM perflab_jobs WHERE queue = ?1 AND state = 'ready'),
    (SELECT count(*) FROM perflab_jobs WHERE queue = ?1 AND state = 'running'),
    (SELECT count(*) FROM perflab_jobs WHERE queue = ?1 AND state = 'dead')
