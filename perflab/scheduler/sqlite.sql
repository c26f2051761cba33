-- The scheduler's statements on SQLite. Whoever writes with them holds the write lock (BEGIN IMMEDIATE), so that
-- nothing changes between two statements: the due watches of one tick are the same in all of them.

-- name: add_watches
-- The row after VALUES is repeated for as many watches as one statement takes. 0 stands for no interval and '' for no cron
-- expression, because the driver is slow at binding NULLs.
INSERT INTO perflab_watches
    (name, queue, priority, interval, cron, timezone, next_due_at, enabled, overlap, catch_up, payload, payload_zstd)
VALUES (?, ?, ?, nullif(?, 0), nullif(?, ''), ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE
SET queue = excluded.queue,
    priority = excluded.priority,
    interval = excluded.interval,
    cron = excluded.cron,
    timezone = excluded.timezone,
    -- The slot stays unless the schedule changes; an interval has no use for the time zone.
    next_due_at = CASE
        WHEN interval = excluded.interval OR cron = excluded.cron AND timezone = excluded.timezone THEN next_due_at
        ELSE excluded.next_due_at
    END,
    enabled = excluded.enabled,
    overlap = excluded.overlap,
    catch_up = excluded.catch_up,
    payload = excluded.payload,
    payload_zstd = excluded.payload_zstd

-- name: largest_watch_id
SELECT coalesce(max(id), 0) FROM perflab_watches

-- name: watch_ids
SELECT name, id FROM perflab_watches WHERE name IN (SELECT value FROM json_each(?1))

-- name: update_ingest_state
-- A state that is there, as nearly all are: name of the watch, cursor, etag, succeeded_at, error, with 0 for none, and now.
-- Once for each row: a statement for many would keep a copy of every page that it writes to, and rows lie far apart.
UPDATE perflab_ingest_states
SET cursor = coalesce(nullif(?2, 0), cursor),
    etag = coalesce(nullif(?3, 0), etag),
    last_success_at = CASE ?5 WHEN 0 THEN coalesce(nullif(?4, 0), ?6) ELSE last_success_at END,
    last_error = nullif(?5, 0),
    consecutive_failures = CASE ?5 WHEN 0 THEN 0 ELSE consecutive_failures + 1 END,
    updated_at = ?6
WHERE watch_id = (SELECT id FROM perflab_watches WHERE name = ?1)

-- name: note_success
-- The same where no row has an error: name of the watch, cursor, etag, succeeded_at, now. It costs 0.07 µs less a row.
UPDATE perflab_ingest_states
SET cursor = coalesce(nullif(?2, 0), cursor),
    etag = coalesce(nullif(?3, 0), etag),
    last_success_at = coalesce(nullif(?4, 0), ?5),
    last_error = NULL,
    consecutive_failures = 0,
    updated_at = ?5
WHERE watch_id = (SELECT id FROM perflab_watches WHERE name = ?1)

-- name: watches_with_states
-- Those of the names that are watches, and whether each has a state.
SELECT name, EXISTS (SELECT 1 FROM perflab_ingest_states WHERE watch_id = id)
FROM perflab_watches
WHERE name IN (SELECT value FROM json_each(?1))

-- name: insert_ingest_states
-- First states. The row after VALUES is repeated, as above; ?1 is now. CROSS JOIN keeps the order of the rows: a second
-- one for a watch finds the first.
INSERT INTO perflab_ingest_states
    (watch_id, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at)
SELECT id, nullif(column2, 0), nullif(column3, 0),
    CASE column5 WHEN 0 THEN coalesce(nullif(column4, 0), ?1) END,
    nullif(column5, 0), column5 IS NOT 0, ?1
FROM (VALUES (?, ?, ?, ?, ?))
CROSS JOIN perflab_watches ON name = column1
WHERE true
ON CONFLICT (watch_id) DO UPDATE
SET cursor = coalesce(excluded.cursor, cursor),
    etag = coalesce(excluded.etag, etag),
    last_success_at = coalesce(excluded.last_success_at, last_success_at),
    last_error = excluded.last_error,
    consecutive_failures = CASE excluded.consecutive_failures WHEN 0 THEN 0 ELSE consecutive_failures + 1 END,
    updated_at = excluded.updated_at

-- name: remove_watches
DELETE FROM perflab_watches WHERE name IN (SELECT value FROM json_each(?1)) RETURNING name

-- name: enable_watches
UPDATE perflab_watches SET enabled = ?2 WHERE name IN (SELECT value FROM json_each(?1)) RETURNING name

-- name: held_jobs
SELECT id, attempt FROM perflab_jobs WHERE id IN (SELECT value FROM json_each(?1)) AND +state = 'running'

-- name: due
-- The partial index of enabled watches has this order, with the id as its last column: nothing is sorted, and no
-- watch that is not due is read.
SELECT
    count(*),
    count(cron),
    count(*) FILTER (WHERE ?1 - next_due_at >= interval),
    count(*) FILTER (WHERE backed_off),
    max(catch_up),
    min(next_due_at),
    EXISTS (SELECT 1 FROM perflab_watches WHERE enabled AND next_due_at <= ?1 LIMIT 1 OFFSET ?2)
FROM (
    SELECT interval, cron, next_due_at, catch_up, EXISTS (
        SELECT 1
        FROM perflab_ingest_states INDEXED BY perflab_ingest_states_failing
        WHERE watch_id = perflab_watches.id
            AND consecutive_failures > 0
            AND ?1 < updated_at + min(?4, ?3 << min(consecutive_failures - 1, ?5))
    ) AS backed_off
    FROM perflab_watches
    WHERE enabled AND next_due_at <= ?1
    ORDER BY next_due_at, id
    LIMIT ?2
)

-- name: due_crons
-- The expressions of these watches, and how many past slots are wanted of each.
SELECT cron, timezone, max(catch_up)
FROM (
    SELECT cron, timezone, catch_up
    FROM perflab_watches
    WHERE enabled AND next_due_at <= ?1
    ORDER BY next_due_at, id
    LIMIT ?2
)
WHERE cron IS NOT NULL
GROUP BY cron, timezone

-- name: late_crons
-- What comes of those is given as a JSON array, here and below: [cron, time zone, the slot to move on to or null, [the
-- newest slot that has come, the one before it, …]].
WITH crons AS MATERIALIZED (
    SELECT value ->> 0 AS cron, value ->> 1 AS timezone, value -> 3 ->> 0 AS newest FROM json_each(?3)
)
SELECT count(*)
FROM (
    SELECT cron, timezone, next_due_at
    FROM perflab_watches
    WHERE enabled AND next_due_at <= ?1
    ORDER BY next_due_at, id
    LIMIT ?2
) AS due
CROSS JOIN crons ON crons.cron = due.cron AND crons.timezone = due.timezone
WHERE newest > next_due_at

-- name: enqueue_due
-- A job for the newest slot of each watch. The columns of perflab_jobs are those of migration 0001; attempt starts at its
-- default. The key is what skips a watch whose last job is not finished; a job that waits stands for this slot too, where
-- slots coalesce. The payload is put together as text: it is JSON already, and parsing it again would cost time and
-- bound its depth. A compressed one goes along as it is, and is null there.
INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
WITH crons AS MATERIALIZED (
    SELECT value ->> 0 AS cron, value ->> 1 AS timezone, value -> 3 ->> 0 AS newest FROM json_each(?7)
)
SELECT
    queue,
    priority,
    slot,
    'ready',
    ?6,
    CASE overlap WHEN 'skip' THEN 'watch:' || name ELSE 'slot:' || slot || ':' || name END,
    '{"watch":' || json_quote(name)
        || ',"slot":"' || strftime('%Y-%m-%dT%H:%M:%S', slot / 1000000, 'unixepoch')
        || printf('.%06d+00:00', slot % 1000000)
        || '","payload":' || payload || '}',
    payload_zstd,
    ?1
FROM (
    SELECT due.*, CASE
        WHEN due.cron IS NULL THEN next_due_at + "interval" * ((?1 - next_due_at) / interval)
        ELSE max(next_due_at, coalesce(newest, 0))
    END AS slot
    FROM (
        SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, overlap, waiting_slot, payload,
            payload_zstd
        FROM perflab_watches
        WHERE enabled AND next_due_at <= ?1
        ORDER BY next_due_at, id
        LIMIT ?2
    ) AS due
    LEFT JOIN crons ON crons.cron = due.cron AND crons.timezone = due.timezone
    WHERE NOT EXISTS (
        SELECT 1
        FROM perflab_ingest_states INDEXED BY perflab_ingest_states_failing
        WHERE watch_id = due.id
            AND consecutive_failures > 0
            AND ?1 < updated_at + min(?4, ?3 << min(consecutive_failures - 1, ?5))
    )
    AND (overlap <> 'coalesce' OR NOT EXISTS (
        SELECT 1
        FROM perflab_jobs
        WHERE perflab_jobs.queue = due.queue
            AND key = 'slot:' || waiting_slot || ':' || name
            AND state IN ('scheduled', 'ready')
            AND state <> 'dead'
    ))
)
WHERE true
ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO NOTHING

-- name: enqueue_missed
-- The same for the slots before, of watches that catch up: those of an interval are counted back (?8: a JSON array of
-- 1, 2, …), and the slot that a cron watch was due at may be none of its expression's.
INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
WITH crons AS MATERIALIZED (
    SELECT value ->> 0 AS cron, value ->> 1 AS timezone, value -> 3 AS recent, value -> 3 ->> 0 AS newest
    FROM json_each(?7)
),
due AS MATERIALIZED (
    SELECT id, name, queue, priority, interval, watch.cron, next_due_at, catch_up, payload, payload_zstd, recent,
        CASE
            WHEN watch.cron IS NULL THEN next_due_at + "interval" * ((?1 - next_due_at) / interval)
            ELSE max(next_due_at, coalesce(newest, 0))
        END AS slot
    FROM (
        SELECT * FROM perflab_watches WHERE enabled AND next_due_at <= ?1 ORDER BY next_due_at, id LIMIT ?2
    ) AS watch
    LEFT JOIN crons ON crons.cron = watch.cron AND crons.timezone = watch.timezone
    WHERE catch_up > 1 AND NOT EXISTS (
        SELECT 1
        FROM perflab_ingest_states INDEXED BY perflab_ingest_states_failing
        WHERE watch_id = watch.id
            AND consecutive_failures > 0
            AND ?1 < updated_at + min(?4, ?3 << min(consecutive_failures - 1, ?5))
    )
),
missed AS (
    SELECT due.id, catch_up, slot - "interval" * back.value AS missed_slot
    FROM due
    CROSS JOIN json_each(?8) AS back
    WHERE cron IS NULL AND back.value < catch_up AND missed_slot >= next_due_at
    UNION
    SELECT due.id, catch_up, past.value
    FROM due
    CROSS JOIN json_each(recent) AS past
    WHERE cron IS NOT NULL AND past.value >= next_due_at AND past.value < slot
    UNION
    SELECT id, catch_up, next_due_at FROM due WHERE cron IS NOT NULL AND next_due_at < slot
),
newest_missed AS (
    SELECT id, missed_slot
    FROM (
        SELECT id, catch_up, missed_slot, row_number() OVER (PARTITION BY id ORDER BY missed_slot DESC) AS place
        FROM missed
    )
    WHERE place < catch_up
)
SELECT
    queue,
    priority,
    missed_slot,
    'ready',
    ?6,
    'slot:' || missed_slot || ':' || name,
    '{"watch":' || json_quote(name)
        || ',"slot":"' || strftime('%Y-%m-%dT%H:%M:%S', missed_slot / 1000000, 'unixepoch')
        || printf('.%06d+00:00', missed_slot % 1000000)
        || '","payload":' || payload || '}',
    payload_zstd,
    ?1
FROM due
CROSS JOIN newest_missed ON newest_missed.id = due.id
WHERE true
ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO NOTHING

-- name: advance
-- Anchored to the slot: slot + interval * (floor((now - slot) / interval) + 1). Late ticks make no drift. Of watches whose
-- slots coalesce, the row keeps which slot's job may still wait.
WITH crons AS MATERIALIZED (
    SELECT value ->> 0 AS cron, value ->> 1 AS timezone, value ->> 2 AS next_slot, value -> 3 ->> 0 AS newest
    FROM json_each(?3)
)
UPDATE perflab_watches
SET next_due_at = due.next_slot,
    enabled = due.next_slot > ?1,
    waiting_slot = CASE
        WHEN overlap = 'coalesce' AND EXISTS (
            SELECT 1
            FROM perflab_jobs
            WHERE perflab_jobs.queue = perflab_watches.queue AND key = 'slot:' || due.slot || ':' || name
                AND state <> 'dead'
        ) THEN due.slot
        ELSE waiting_slot
    END
FROM (
    SELECT
        id,
        CASE
            WHEN watch.cron IS NULL THEN next_due_at + "interval" * ((?1 - next_due_at) / interval)
            ELSE max(next_due_at, coalesce(newest, 0))
        END AS slot,
        CASE
            WHEN watch.cron IS NULL THEN next_due_at + "interval" * ((?1 - next_due_at) / interval + 1)
            ELSE coalesce(next_slot, next_due_at)
        END AS next_slot
    FROM (
        SELECT id, interval, cron, timezone, next_due_at
        FROM perflab_watches
        WHERE enabled AND next_due_at <= ?1
        ORDER BY next_due_at, id
        LIMIT ?2
    ) AS watch
    LEFT JOIN crons ON crons.cron = watch.cron AND crons.timezone = watch.timezone
) AS due
WHERE perflab_watches.id = due.id

-- name: watches
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, overlap, catch_up, payload, payload_zstd
FROM perflab_watches
ORDER BY name

-- name: watches_named
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, overlap, catch_up, payload, payload_zstd
FROM perflab_watches
WHERE name IN (SELECT value FROM json_each(?1))
ORDER BY name

-- name: due_soon
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, overlap, catch_up, payload, payload_zstd
FROM perflab_watches
WHERE enabled AND next_due_at <= ?1
ORDER BY next_due_at, id
LIMIT ?2

-- name: ingest_states
SELECT name, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at
FROM perflab_ingest_states
JOIN perflab_watches ON id = watch_id
ORDER BY name

-- name: ingest_states_named
SELECT name, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at
FROM perflab_watches
JOIN perflab_ingest_states ON id = watch_id
WHERE name IN (SELECT value FROM json_each(?1))
ORDER BY name
