-- The queue's statements on PostgreSQL. Many ids travel as one binary array.
--
-- What an operation needs of a statement's answer stands in its part `answer`, and `/* ledger: … */` names the columns:
-- there the ledger puts in what keeps them (perflab/database/ledger.py). Without a ledger it is a comment.
--
-- Statements that wait for row locks take them in the order of the ids, before they write anything: two batches that
-- share jobs then wait for each other and never for themselves. Statements that choose their jobs pass over locked ones.
--
-- `state || ''` hides the comparison from the planner: it would otherwise read the whole partial index of that state
-- whenever its statistics say that few jobs are in it. The primary key is the way in, whatever the statistics say.
--
-- Where the next rows in the order of an index are wanted, LIMIT stands there twice, `LIMIT (SELECT n)` inside of `LIMIT n`,
-- so that the index is read in its order, whatever the statistics say. If they say that there are hardly more than n rows
-- (a table that was never analysed is said to have one in 40,000 jobs), then to read and sort all of them looks cheaper. Of
-- a LIMIT that it cannot see the planner expects a tenth of the rows: ten times as much, for the same, is never cheaper. If
-- they say that there are many, then it is the outer LIMIT that makes the first rows count, and not a tenth of them.

-- name: enqueue
-- Jobs without keys. Ids are drawn in the order of the rows, so that the sorted ids are those of the rows. They nearly
-- always follow one another, and then the first one says it all: others draw from the same sequence meanwhile at most.
-- Where nothing is compressed, `frames` is empty, and unnest fills its column with NULLs.
WITH written AS (
    INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, payload, payload_zstd, enqueued_at)
    SELECT
        %(queue)s::text,
        priority,
        run_at,
        CASE WHEN run_at > %(now)s::int8 THEN 'scheduled' ELSE 'ready' END,
        max_attempts,
        payload::json,
        payload_zstd,
        %(now)s::int8
    FROM unnest(
        %(payloads)b::text[], %(priorities)b::int8[], %(max_attempts)b::int8[], %(run_at)b::int8[], %(frames)b::bytea[]
    ) WITH ORDINALITY AS new (payload, priority, max_attempts, run_at, payload_zstd, position)
    ORDER BY position
    RETURNING id
),
answer AS (
    SELECT min(id) AS first_id, CASE WHEN max(id) - min(id) >= count(*) THEN array_agg(id) END AS ids FROM written
)
/* ledger: first_id, ids */
SELECT first_id, ids FROM answer

-- name: enqueue_one
-- The same for one job: nothing to sort and to add up, and half of the server's work. Workers are told by the way, where
-- they are to be: that spares a statement.
WITH answer AS (
    INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, payload, payload_zstd, enqueued_at)
    VALUES (
        %(queue)s::text,
        %(priority)s::int8,
        %(run_at)s::int8,
        CASE WHEN %(run_at)s::int8 > %(now)s::int8 THEN 'scheduled' ELSE 'ready' END,
        %(max_attempts)s::int8,
        %(payload)s::json,
        %(frame)b::bytea,
        %(now)s::int8
    )
    RETURNING id
)
/* ledger: id */
SELECT id, CASE WHEN %(notify)s::bool THEN pg_notify(%(channel)s::text, %(queue)s::text) END FROM answer

-- name: enqueue_with_keys
-- No key comes twice. What holds a key is read first, so that it is neither written nor locked; only a holder that
-- appears between that look and the INSERT is touched, and that is what tells its id. Keys go in one order everywhere:
-- two callers with the same keys then wait for each other and never for themselves. LIMIT 1 keeps the look-up a look-up:
-- a join could be planned as a scan of the table. An id is drawn for new jobs alone.
WITH wanted AS MATERIALIZED (
    SELECT
        coalesce(holder.id, nextval('perflab_jobs_id_seq')) AS id,
        holder.id IS NULL AS is_new,
        new.*
    FROM unnest(
        %(payloads)b::text[], %(priorities)b::int8[], %(max_attempts)b::int8[], %(run_at)b::int8[], %(keys)b::text[],
        %(frames)b::bytea[]
    ) WITH ORDINALITY AS new (payload, priority, max_attempts, run_at, key, payload_zstd, position)
    LEFT JOIN LATERAL (
        SELECT id
        FROM perflab_jobs
        WHERE queue = %(queue)s::text AND perflab_jobs.key = new.key AND state <> 'dead'
        LIMIT 1
    ) AS holder ON true
    ORDER BY position
),
written AS (
    INSERT INTO perflab_jobs
        (id, queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
    SELECT
        id,
        %(queue)s::text,
        priority,
        run_at,
        CASE WHEN run_at > %(now)s::int8 THEN 'scheduled' ELSE 'ready' END,
        max_attempts,
        key,
        payload::json,
        payload_zstd,
        %(now)s::int8
    FROM wanted
    WHERE is_new
    ORDER BY key COLLATE "C"
    ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO UPDATE SET key = excluded.key
    RETURNING id, key
),
answer AS (
    SELECT wanted.position, coalesce(written.id, wanted.id) AS id
    FROM wanted
    LEFT JOIN written ON written.key = wanted.key
)
/* ledger: position, id */
SELECT position, id FROM answer

-- name: enqueue_or_raise
-- The same where the unique index is to refuse a key that is taken.
WITH wanted AS MATERIALIZED (
    SELECT nextval('perflab_jobs_id_seq') AS id, new.*
    FROM unnest(
        %(payloads)b::text[], %(priorities)b::int8[], %(max_attempts)b::int8[], %(run_at)b::int8[], %(keys)b::text[],
        %(frames)b::bytea[]
    ) WITH ORDINALITY AS new (payload, priority, max_attempts, run_at, key, payload_zstd, position)
    ORDER BY position
),
written AS (
    INSERT INTO perflab_jobs
        (id, queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
    SELECT
        id,
        %(queue)s::text,
        priority,
        run_at,
        CASE WHEN run_at > %(now)s::int8 THEN 'scheduled' ELSE 'ready' END,
        max_attempts,
        key,
        payload::json,
        payload_zstd,
        %(now)s::int8
    FROM wanted
    ORDER BY key COLLATE "C"
),
answer AS (SELECT position, id FROM wanted)
/* ledger: position, id */
SELECT position, id FROM answer

-- name: free_keys
-- Before enqueue_replacing, in the same transaction: locks what holds a key, so that no claim takes it meanwhile. What is
-- running goes on without its key, and is not tried again if it fails.
WITH held AS MATERIALIZED (
    SELECT id, state
    FROM perflab_jobs
    WHERE id = ANY(ARRAY(
            SELECT holder.id
            FROM unnest(%(keys)b::text[]) AS given (key)
            CROSS JOIN LATERAL (
                SELECT id
                FROM perflab_jobs
                WHERE queue = %(queue)s::text AND perflab_jobs.key = given.key AND state <> 'dead'
                LIMIT 1
            ) AS holder
        ))
    ORDER BY id
    FOR UPDATE
)
UPDATE perflab_jobs
SET key = NULL, max_attempts = attempt
WHERE id = ANY(ARRAY(SELECT id FROM held WHERE state = 'running'))

-- name: enqueue_replacing
-- The attempts so far are kept, because a number that came again would make an old acknowledgement fit. A job that came and
-- was claimed since the keys were freed is refused by the constraint on states, whose message quotes what to do.
WITH wanted AS MATERIALIZED (
    SELECT nextval('perflab_jobs_id_seq') AS id, new.*
    FROM unnest(
        %(payloads)b::text[], %(priorities)b::int8[], %(max_attempts)b::int8[], %(run_at)b::int8[], %(keys)b::text[],
        %(frames)b::bytea[]
    ) WITH ORDINALITY AS new (payload, priority, max_attempts, run_at, key, payload_zstd, position)
    ORDER BY position
),
written AS (
    INSERT INTO perflab_jobs AS stored
        (id, queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
    SELECT
        id,
        %(queue)s::text,
        priority,
        run_at,
        CASE WHEN run_at > %(now)s::int8 THEN 'scheduled' ELSE 'ready' END,
        max_attempts,
        key,
        payload::json,
        payload_zstd,
        %(now)s::int8
    FROM wanted
    ORDER BY key COLLATE "C"
    ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO UPDATE
    SET priority = excluded.priority,
        run_at = excluded.run_at,
        state = CASE WHEN stored.state = 'running' THEN 'claimed just now: enqueue it again' ELSE excluded.state END,
        max_attempts = least(stored.attempt + excluded.max_attempts, 32767),
        payload = excluded.payload,
        payload_zstd = excluded.payload_zstd,
        last_error = NULL,
        enqueued_at = excluded.enqueued_at
    RETURNING id, key
),
answer AS (
    SELECT wanted.position, coalesce(written.id, wanted.id) AS id
    FROM wanted
    LEFT JOIN written ON written.key = wanted.key
)
/* ledger: position, id */
SELECT position, id FROM answer

-- name: notify
-- The server sends it when the transaction is committed, and only one of equal ones.
SELECT pg_notify(%(channel)s::text, %(queue)s::text)

-- name: promote
-- Scheduled jobs whose time has come. Their own index keeps a million future ones out of the way of a claim.
UPDATE perflab_jobs
SET state = 'ready'
WHERE id = ANY(ARRAY(
    SELECT id
    FROM (
        SELECT id
        FROM perflab_jobs
        WHERE queue = %(queue)s::text AND state = 'scheduled' AND run_at <= %(now)s::int8
        ORDER BY run_at
        LIMIT (SELECT %(limit)s::int8)
        FOR UPDATE SKIP LOCKED
    ) AS next
    LIMIT %(limit)s::int8
))

-- name: promote_and_notify
-- The same, and workers are told if there are more than the claim takes that follows.
WITH promoted AS (
    UPDATE perflab_jobs
    SET state = 'ready'
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM (
            SELECT id
            FROM perflab_jobs
            WHERE queue = %(queue)s::text AND state = 'scheduled' AND run_at <= %(now)s::int8
            ORDER BY run_at
            LIMIT (SELECT %(limit)s::int8)
            FOR UPDATE SKIP LOCKED
        ) AS next
        LIMIT %(limit)s::int8
    ))
    RETURNING id
)
SELECT pg_notify(%(channel)s::text, %(queue)s::text) WHERE (SELECT count(*) FROM promoted) > %(claimed)s::int8

-- name: claim
-- The partial index of ready jobs has this very order, so that nothing is sorted. RETURNING promises no order. Whether
-- the queue is paused is asked once, before any job is read, and so is whether the lease of the worker still holds. That
-- row is locked, so that none of its jobs can come to a lease that has just been closed or given up for lost.
UPDATE perflab_jobs
SET state = 'running',
    attempt = attempt + 1,
    lease_until = %(lease_until)s::int8,
    worker = %(worker)s::text,
    worker_id = %(worker_id)s::int8
WHERE id = ANY(ARRAY(
    SELECT id
    FROM (
        SELECT id
        FROM perflab_jobs
        WHERE queue = %(queue)s::text
            AND state = 'ready'
            AND NOT EXISTS (SELECT FROM perflab_queues WHERE name = %(queue)s::text)
            AND (
                %(worker_id)s::int8 IS NULL
                OR EXISTS (
                    SELECT FROM perflab_workers
                    WHERE id = %(worker_id)s::int8 AND lease_until > %(now)s::int8
                    FOR KEY SHARE
                )
            )
        ORDER BY priority, run_at, id
        LIMIT (SELECT %(limit)s::int8)
        FOR UPDATE SKIP LOCKED
    ) AS next
    LIMIT %(limit)s::int8
))
RETURNING priority, run_at, id, payload::text, attempt, max_attempts, key, payload_zstd

-- name: claim_aged
-- By virtual deadline, run_at + priority * ageing, out of the same index: each priority's jobs stand there by run_at, so that
-- the next ones of all are among the next ones of each. Finding the priorities takes a look-up for each of them. What is
-- looked at is locked, and what is not taken then is free again with the end of the transaction.
WITH RECURSIVE levels (priority) AS (
    SELECT min(priority) FROM perflab_jobs WHERE queue = %(queue)s::text AND state = 'ready'
    UNION ALL
    SELECT (
        SELECT min(priority)
        FROM perflab_jobs
        WHERE queue = %(queue)s::text AND state = 'ready' AND perflab_jobs.priority > levels.priority
    )
    FROM levels
    WHERE levels.priority IS NOT NULL
)
UPDATE perflab_jobs
SET state = 'running',
    attempt = attempt + 1,
    lease_until = %(lease_until)s::int8,
    worker = %(worker)s::text,
    worker_id = %(worker_id)s::int8
WHERE id = ANY(ARRAY(
    SELECT next.id
    FROM levels
    CROSS JOIN LATERAL (
        SELECT id, run_at
        FROM (
            SELECT id, run_at
            FROM perflab_jobs
            WHERE queue = %(queue)s::text AND state = 'ready' AND perflab_jobs.priority = levels.priority
            ORDER BY run_at, id
            LIMIT (SELECT %(limit)s::int8)
            FOR UPDATE SKIP LOCKED
        ) AS next_of_level
        LIMIT %(limit)s::int8
    ) AS next
    WHERE NOT EXISTS (SELECT FROM perflab_queues WHERE name = %(queue)s::text)
        AND (
            %(worker_id)s::int8 IS NULL
            OR EXISTS (
                SELECT FROM perflab_workers
                WHERE id = %(worker_id)s::int8 AND lease_until > %(now)s::int8
                FOR KEY SHARE
            )
        )
    ORDER BY next.run_at + levels.priority * %(ageing)s::int8, levels.priority, next.id
    LIMIT %(limit)s::int8
))
RETURNING priority, run_at, id, payload::text, attempt, max_attempts, key, payload_zstd

-- name: lock
-- For a call that needs several statements: all its jobs in order, before the first of them writes.
SELECT count(*)
FROM (SELECT FROM perflab_jobs WHERE id = ANY(%(ids)b::int8[]) ORDER BY id FOR UPDATE) AS locked

-- name: mark_done
-- The fence: id, attempt and state. A job that somebody else holds by now has another attempt. Returns the ids that were
-- not held: nearly always none, and then nothing is compared, sent or kept for each job.
WITH done AS (
    DELETE FROM perflab_jobs
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM perflab_jobs
        WHERE id = ANY(%(ids)b::int8[]) AND attempt = %(attempt)s::int2 AND state || '' = 'running'
        ORDER BY id
        FOR UPDATE
    ))
    RETURNING id
),
answer AS (
    SELECT id
    FROM unnest(%(ids)b::int8[]) AS given (id)
    WHERE (SELECT count(*) FROM done) < cardinality(%(ids)b::int8[]) AND id NOT IN (SELECT id FROM done)
)
/* ledger: id */
SELECT id FROM answer

-- name: keep_done
-- The same, and what is deleted moves into the table of finished jobs. No id comes twice. Where no job has a result, the
-- arrays of those are empty, and unnest fills them up.
WITH done AS (
    DELETE FROM perflab_jobs
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM perflab_jobs
        WHERE id = ANY(%(ids)b::int8[]) AND attempt = %(attempt)s::int2 AND state || '' = 'running'
        ORDER BY id
        FOR UPDATE
    ))
    RETURNING id, queue, priority, run_at, attempt, key, payload, payload_zstd, enqueued_at
),
kept AS (
    INSERT INTO perflab_jobs_done
        (id, queue, priority, run_at, attempt, key, payload, payload_zstd, enqueued_at, done_at, result, result_zstd)
    SELECT done.*, %(now)s::int8, coalesce(given.result, 'null')::json, given.frame
    FROM done
    JOIN unnest(%(ids)b::int8[], %(results)b::text[], %(frames)b::bytea[]) AS given (id, result, frame)
        ON given.id = done.id
),
answer AS (
    SELECT id
    FROM unnest(%(ids)b::int8[]) AS given (id)
    WHERE (SELECT count(*) FROM done) < cardinality(%(ids)b::int8[]) AND id NOT IN (SELECT id FROM done)
)
/* ledger: id */
SELECT id FROM answer

-- name: release
-- The attempt is kept, because taking it back would make an old acknowledgement of the same number fit again; the
-- bound moves instead, so that the release costs no attempt. Both end at 32767. Returns what mark_done returns.
WITH released AS (
    UPDATE perflab_jobs
    SET state = CASE WHEN attempt < 32767 THEN 'ready' ELSE 'dead' END,
        run_at = CASE WHEN attempt < 32767 THEN run_at ELSE %(now)s::int8 END,
        max_attempts = least(max_attempts + 1, 32767),
        lease_until = NULL,
        worker = NULL,
        worker_id = NULL
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM perflab_jobs
        WHERE id = ANY(%(ids)b::int8[]) AND attempt = %(attempt)s::int2 AND state || '' = 'running'
        ORDER BY id
        FOR UPDATE
    ))
    RETURNING id
),
answer AS (
    SELECT id
    FROM unnest(%(ids)b::int8[]) AS given (id)
    WHERE (SELECT count(*) FROM released) < cardinality(%(ids)b::int8[]) AND id NOT IN (SELECT id FROM released)
)
/* ledger: id */
SELECT id FROM answer

-- name: extend_lease
-- A job of a worker's lease gets one of its own.
WITH answer AS (
    UPDATE perflab_jobs
    SET lease_until = %(lease_until)s::int8,
        worker = coalesce(worker, (SELECT name FROM perflab_workers WHERE perflab_workers.id = worker_id)),
        worker_id = NULL
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM perflab_jobs
        WHERE id = ANY(%(ids)b::int8[]) AND attempt = %(attempt)s::int2 AND state || '' = 'running'
        ORDER BY id
        FOR UPDATE
    ))
    RETURNING id
)
/* ledger: id */
SELECT id FROM answer

-- name: mark_error
-- No id and attempt come twice. A delay below 0 ends the job. A dead job's run_at is the time of its death.
WITH answer AS (
    UPDATE perflab_jobs AS job
    SET state = CASE WHEN job.attempt < max_attempts AND delay >= 0 THEN 'scheduled' ELSE 'dead' END,
        run_at = %(now)s::int8 + CASE WHEN job.attempt < max_attempts AND delay >= 0 THEN delay ELSE 0 END,
        last_error = failed.error,
        lease_until = NULL,
        worker = NULL,
        worker_id = NULL
    FROM unnest(
        %(ids)b::int8[], %(attempts)b::int8[], %(delays)b::int8[], %(errors)b::text[]
    ) AS failed (id, attempt, delay, error)
    WHERE job.id = ANY(ARRAY(
            SELECT id FROM perflab_jobs WHERE id = ANY(%(ids)b::int8[]) AND state || '' = 'running' ORDER BY id FOR UPDATE
        ))
        AND job.id = failed.id
        AND job.attempt = failed.attempt
    RETURNING job.id, job.attempt
)
/* ledger: id, attempt */
SELECT id, attempt FROM answer

-- name: report_progress
-- No id and attempt come twice. No column of an index changes.
WITH answer AS (
    UPDATE perflab_jobs AS job
    SET progress = reported.fraction,
        progress_note = reported.note,
        progress_attempt = reported.attempt,
        progress_at = %(now)s::int8
    FROM unnest(
        %(ids)b::int8[], %(attempts)b::int8[], %(fractions)b::float8[], %(notes)b::text[]
    ) AS reported (id, attempt, fraction, note)
    WHERE job.id = ANY(ARRAY(
            SELECT id FROM perflab_jobs WHERE id = ANY(%(ids)b::int8[]) AND state || '' = 'running' ORDER BY id FOR UPDATE
        ))
        AND job.id = reported.id
        AND job.attempt = reported.attempt
    RETURNING job.id, job.attempt
)
/* ledger: id, attempt */
SELECT id, attempt FROM answer

-- name: progress
SELECT id, progress_attempt, progress, progress_note, progress_at
FROM perflab_jobs
WHERE id = ANY(%(ids)b::int8[]) AND queue || '' = %(queue)s::text AND progress_at IS NOT NULL

-- name: cancel
WITH answer AS (
    DELETE FROM perflab_jobs
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM perflab_jobs
        WHERE id = ANY(%(ids)b::int8[]) AND queue = %(queue)s::text AND state IN ('scheduled', 'ready')
        ORDER BY id
        FOR UPDATE
    ))
    RETURNING id
)
/* ledger: id */
SELECT id FROM answer

-- name: retry
-- A job whose key belongs to an unfinished one by now is passed over, and so is all but the first of several with one
-- key. If the key is taken between that look and the UPDATE, the unique index refuses the whole call; the next one
-- passes over the job.
WITH revived AS MATERIALIZED (
    SELECT job.id, job.key
    FROM perflab_jobs AS job
    WHERE job.id = ANY(%(ids)b::int8[])
        AND job.queue = %(queue)s::text
        AND job.state || '' = 'dead'
        AND job.attempt < 32767
        AND NOT EXISTS (
            SELECT FROM perflab_jobs AS holder
            WHERE holder.queue = job.queue AND holder.key = job.key AND holder.state <> 'dead'
        )
    ORDER BY job.id
    FOR UPDATE OF job
),
answer AS (
    UPDATE perflab_jobs
    SET state = 'ready', run_at = %(now)s::int8, max_attempts = least(attempt + %(attempts)s::int4, 32767)
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM revived
        WHERE NOT EXISTS (SELECT FROM revived AS earlier WHERE earlier.key = revived.key AND earlier.id < revived.id)
    ))
    RETURNING id
)
/* ledger: id */
SELECT id FROM answer

-- name: redrive
-- What `retry` passes over is passed over before LIMIT, so that others get their turn, however many of these there are.
-- The planner takes IS NOT NULL for nearly always true, and so expects to read hardly more jobs than are taken; and it
-- cannot make a join over the whole table of the look-up of the key.
WITH revived AS MATERIALIZED (
    SELECT id, key
    FROM (
        SELECT job.id, job.key
        FROM perflab_jobs AS job
        WHERE job.queue = %(queue)s::text
            AND job.state = 'dead'
            AND nullif(
                job.attempt < 32767
                AND NOT EXISTS (
                    SELECT
                    FROM perflab_jobs AS holder
                    WHERE holder.queue = job.queue AND holder.key = job.key AND holder.state <> 'dead'
                    OFFSET 0
                ),
                false
            ) IS NOT NULL
        ORDER BY job.run_at, job.id
        LIMIT (SELECT %(limit)s::int8)
        FOR UPDATE OF job SKIP LOCKED
    ) AS next
    LIMIT %(limit)s::int8
)
UPDATE perflab_jobs
SET state = 'ready', run_at = %(now)s::int8, max_attempts = least(attempt + %(attempts)s::int4, 32767)
WHERE id = ANY(ARRAY(
    SELECT id
    FROM revived
    WHERE NOT EXISTS (SELECT FROM revived AS earlier WHERE earlier.key = revived.key AND earlier.id < revived.id)
))
RETURNING id

-- name: dead_jobs
-- A page, backwards through the index from where the last page ended.
SELECT run_at, id, payload::text, payload_zstd, priority, attempt, key, last_error, enqueued_at
FROM (
    SELECT *
    FROM perflab_jobs
    WHERE queue = %(queue)s::text AND state = 'dead' AND (run_at, id) < (%(before)s::int8, %(before_id)s::int8)
    ORDER BY run_at DESC, id DESC
    LIMIT (SELECT %(limit)s::int8)
) AS page
ORDER BY run_at DESC, id DESC
LIMIT %(limit)s::int8

-- name: done_jobs
-- The same for finished ones.
SELECT done_at, id, payload::text, payload_zstd, result::text, result_zstd, priority, attempt, key, enqueued_at
FROM (
    SELECT *
    FROM perflab_jobs_done
    WHERE queue = %(queue)s::text AND (done_at, id) < (%(before)s::int8, %(before_id)s::int8)
    ORDER BY done_at DESC, id DESC
    LIMIT (SELECT %(limit)s::int8)
) AS page
ORDER BY done_at DESC, id DESC
LIMIT %(limit)s::int8

-- name: find_done
SELECT done_at, id, payload::text, payload_zstd, result::text, result_zstd, priority, attempt, key, enqueued_at
FROM perflab_jobs_done
WHERE id = ANY(%(ids)b::int8[]) AND queue || '' = %(queue)s::text

-- name: purge_done
DELETE FROM perflab_jobs_done
WHERE id = ANY(ARRAY(
    SELECT id
    FROM (
        SELECT id
        FROM perflab_jobs_done
        WHERE queue = %(queue)s::text AND done_at <= %(done_before)s::int8
        ORDER BY done_at
        LIMIT (SELECT %(limit)s::int8)
        FOR UPDATE SKIP LOCKED
    ) AS next
    LIMIT %(limit)s::int8
))
RETURNING id

-- name: pause
INSERT INTO perflab_queues (name, paused_at)
VALUES (%(queue)s::text, %(now)s::int8)
ON CONFLICT (name) DO NOTHING
RETURNING name

-- name: resume
DELETE FROM perflab_queues WHERE name = %(queue)s::text RETURNING name

-- name: paused_at
SELECT paused_at FROM perflab_queues WHERE name = %(queue)s::text

-- name: open_lease
INSERT INTO perflab_workers (queue, name, started_at, lease_until)
VALUES (%(queue)s::text, %(worker)s::text, %(now)s::int8, %(lease_until)s::int8)
RETURNING id

-- name: renew_lease
-- One row for all jobs. What has run out once stays lost, because its jobs may be with others already.
UPDATE perflab_workers
SET lease_until = %(lease_until)s::int8
WHERE id = %(worker_id)s::int8 AND lease_until > %(now)s::int8
RETURNING id

-- name: close_lease
-- Waits for claims that run with this lease; whatever comes later finds it gone.
DELETE FROM perflab_workers WHERE id = %(worker_id)s::int8

-- name: replace_lease
-- A new lease, and the jobs that it takes over: those that are still held by their id and attempt.
WITH opened AS (
    INSERT INTO perflab_workers (queue, name, started_at, lease_until)
    VALUES (%(queue)s::text, %(worker)s::text, %(now)s::int8, %(lease_until)s::int8)
    RETURNING id
),
kept AS (
    UPDATE perflab_jobs AS job
    SET worker_id = (SELECT id FROM opened), lease_until = NULL, worker = NULL
    FROM unnest(%(ids)b::int8[], %(attempts)b::int8[]) AS held (id, attempt)
    WHERE job.id = ANY(ARRAY(
            SELECT id FROM perflab_jobs WHERE id = ANY(%(ids)b::int8[]) AND state || '' = 'running' ORDER BY id FOR UPDATE
        ))
        AND job.id = held.id
        AND job.attempt = held.attempt
    RETURNING job.id, job.attempt
)
SELECT opened.id, kept.id, kept.attempt FROM opened LEFT JOIN kept ON true

-- name: release_worker
-- What a closed lease leaves, as `release` does it.
UPDATE perflab_jobs
SET state = CASE WHEN attempt < 32767 THEN 'ready' ELSE 'dead' END,
    run_at = CASE WHEN attempt < 32767 THEN run_at ELSE %(now)s::int8 END,
    max_attempts = least(max_attempts + 1, 32767),
    lease_until = NULL,
    worker = NULL,
    worker_id = NULL
WHERE id = ANY(ARRAY(
    SELECT id
    FROM perflab_jobs
    WHERE queue = %(queue)s::text AND state = 'running' AND worker_id = %(worker_id)s::int8
    ORDER BY id
    FOR UPDATE
))
RETURNING id

-- name: give_up_workers
-- Leases of workers that have run out are lost for good from here on, whatever the clocks of others say. One that a claim
-- is just using is left to the next call: so no job can come to a worker that is given up.
UPDATE perflab_workers
SET lease_until = 0
WHERE id = ANY(ARRAY(
    SELECT id
    FROM perflab_workers
    WHERE queue = %(queue)s::text AND lease_until <= %(now)s::int8 AND lease_until > 0
    FOR UPDATE SKIP LOCKED
))

-- name: rescue_expired
-- Jobs whose own lease has run out, the oldest first, and then those of workers that are given up. Both come from the
-- index of running jobs and see no other job: there is nothing to pass over, except what somebody else has locked.
-- (`worker_id` in the order says that it is that of the index, which IS NULL does not tell the planner.)
-- After its first attempt a job is ready at once: workers die of their own. After others it may be what kills them, and
-- waits as the back-off says, so that jobs which were held together with it do not meet it again and die with it.
UPDATE perflab_jobs
SET state = CASE WHEN attempt >= max_attempts THEN 'dead' WHEN attempt = 1 THEN 'ready' ELSE 'scheduled' END,
    run_at = CASE
        WHEN attempt >= max_attempts THEN %(now)s::int8
        WHEN attempt = 1 THEN run_at
        ELSE %(now)s::int8 + floor(
            least(%(cap)s::float8, %(base)s::float8 * (1::int8 << least(attempt - 1, 60)))
            * (id * 0.6180339887498949 + %(phase)s::float8 - floor(id * 0.6180339887498949 + %(phase)s::float8))
        )::int8
    END,
    last_error = concat(
        'the lease of attempt ' || attempt || ' ran out',
        ' at worker ' || coalesce(worker, (SELECT nullif(name, '') FROM perflab_workers WHERE perflab_workers.id = worker_id))
    ),
    lease_until = NULL,
    worker = NULL,
    worker_id = NULL
WHERE id = ANY(ARRAY(
    SELECT id
    FROM (
        SELECT id
        FROM perflab_jobs
        WHERE queue = %(queue)s::text AND state = 'running' AND worker_id IS NULL AND lease_until <= %(now)s::int8
        ORDER BY worker_id, lease_until
        LIMIT (SELECT %(limit)s::int8)
        FOR UPDATE SKIP LOCKED
    ) AS own_lease
    UNION ALL
    SELECT of_worker.id
    FROM perflab_workers
    CROSS JOIN LATERAL (
        SELECT id
        FROM perflab_jobs
        WHERE perflab_jobs.queue = %(queue)s::text AND state = 'running' AND worker_id = perflab_workers.id
        ORDER BY lease_until
        LIMIT (SELECT %(limit)s::int8)
        FOR UPDATE SKIP LOCKED
    ) AS of_worker
    WHERE perflab_workers.queue = %(queue)s::text AND perflab_workers.lease_until = 0
    LIMIT %(limit)s::int8
))
RETURNING state

-- name: forget_workers
-- Those that are given up and hold nothing any more.
DELETE FROM perflab_workers
WHERE id = ANY(ARRAY(
    SELECT id
    FROM perflab_workers AS worker
    WHERE queue = %(queue)s::text
        AND lease_until = 0
        AND (
            SELECT job.id
            FROM perflab_jobs AS job
            WHERE job.queue = %(queue)s::text AND job.state = 'running' AND job.worker_id = worker.id
            LIMIT 1
        ) IS NULL
    FOR UPDATE SKIP LOCKED
))

-- name: purge
DELETE FROM perflab_jobs
WHERE id = ANY(ARRAY(
    SELECT id
    FROM (
        SELECT id
        FROM perflab_jobs
        WHERE queue = %(queue)s::text AND state = 'dead' AND run_at <= %(died_before)s::int8
        ORDER BY run_at
        LIMIT (SELECT %(limit)s::int8)
        FOR UPDATE SKIP LOCKED
    ) AS next
    LIMIT %(limit)s::int8
))
RETURNING id

-- name: count_waiting
-- No more than asked for: how much more wait is nobody's business here, and would take its time. The orders are those of
-- the indexes, so that the planner takes these, whatever its statistics say.
SELECT count(*)
FROM (
    (
        SELECT
        FROM perflab_jobs
        WHERE queue = %(queue)s::text AND state = 'ready'
        ORDER BY priority, run_at, id
        LIMIT (SELECT %(most)s::int8)
    )
    UNION ALL
    (
        SELECT
        FROM perflab_jobs
        WHERE queue = %(queue)s::text AND state = 'scheduled'
        ORDER BY run_at
        LIMIT (SELECT %(most)s::int8)
    )
    LIMIT %(most)s::int8
) AS waiting

-- name: counts
-- One subquery for each state, because each has its own index.
SELECT
    (SELECT count(*) FROM perflab_jobs WHERE queue = %(queue)s::text AND state = 'scheduled'),
    (SELECT count(*) FROM perflab_jobs WHERE queue = %(queue)s::text AND state = 'ready'),
    (SELECT count(*) FROM perflab_jobs WHERE queue = %(queue)s::text AND state = 'running'),
    (SELECT count(*) FROM perflab_jobs WHERE queue = %(queue)s::text AND state = 'dead')
