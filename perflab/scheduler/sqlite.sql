-- The scheduler's statements on SQLite. Whoever writes with them holds the write lock (BEGIN IMMEDIATE), so that
-- nothing changes between two statements: the due watches of one tick are the same in all of them.

-- name: add_watches
-- The row after VALUES is repeated for as many watches as one statement takes. ?1 is now. Rows hold no NULLs, because
-- the driver is slow at binding them. WHERE true keeps the parser from taking ON CONFLICT for a join.
INSERT INTO perflab_watches (name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload)
SELECT column1, column2, column3, nullif(column4, 0), nullif(column5, ''), column6, coalesce(nullif(column7, 0), ?1),
    column8, column9
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?))
WHERE true
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
    payload = excluded.payload

-- name: largest_watch_id
SELECT coalesce(max(id), 0) FROM perflab_watches

-- name: watch_ids
SELECT name, id FROM perflab_watches WHERE name IN (SELECT value FROM json_each(?1))

-- name: update_ingest_states
-- The row after VALUES is repeated, as above: name, cursor, etag, succeeded_at, error, with 0 for none. A name that no
-- watch has joins nothing, and the count of changed rows is short of it. CROSS JOIN keeps the order of the rows, which
-- apply one after the other even if they are for one watch.
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

-- name: due
-- The partial index of enabled watches has this order, with the id as its last column: nothing is sorted, and no
-- watch that is not due is read.
SELECT
    count(*),
    count(cron),
    count(*) FILTER (WHERE ?1 - next_due_at >= interval),
    min(next_due_at),
    EXISTS (SELECT 1 FROM perflab_watches WHERE enabled AND next_due_at <= ?1 LIMIT 1 OFFSET ?2)
FROM (
    SELECT interval, cron, next_due_at
    FROM perflab_watches
    WHERE enabled AND next_due_at <= ?1
    ORDER BY next_due_at, id
    LIMIT ?2
)

-- name: enqueue_due
-- The columns of perflab_jobs are those of migration 0001; attempt starts at its default. The key is what skips a watch
-- whose last job is not finished. The payload is put together as text: it is JSON already, and parsing it again would
-- cost time and bound its depth.
INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, key, payload, enqueued_at)
SELECT
    queue,
    priority,
    next_due_at,
    'ready',
    ?3,
    'watch:' || name,
    '{"watch":' || json_quote(name)
        || ',"slot":"' || strftime('%Y-%m-%dT%H:%M:%S', next_due_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', next_due_at % 1000000)
        || '","payload":' || payload || '}',
    ?1
FROM perflab_watches
WHERE enabled AND next_due_at <= ?1
ORDER BY next_due_at, id
LIMIT ?2
ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO NOTHING

-- name: advance_intervals
-- Anchored to the slot: slot + interval * (floor((now - slot) / interval) + 1). Late ticks make no drift.
UPDATE perflab_watches
SET next_due_at = next_due_at + interval * ((?1 - next_due_at) / interval + 1)
WHERE interval IS NOT NULL AND id IN (
    SELECT id
    FROM perflab_watches
    WHERE enabled AND next_due_at <= ?1
    ORDER BY next_due_at, id
    LIMIT ?2
)

-- name: due_crons
SELECT id, next_due_at, cron, timezone, name
FROM (
    SELECT id, next_due_at, cron, timezone, name
    FROM perflab_watches
    WHERE enabled AND next_due_at <= ?1
    ORDER BY next_due_at, id
    LIMIT ?2
)
WHERE cron IS NOT NULL

-- name: advance_crons
-- ?1 is a JSON array of [id, next slot, or null to pause].
UPDATE perflab_watches
SET next_due_at = coalesce(advanced.slot, next_due_at), enabled = advanced.slot IS NOT NULL
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS slot FROM json_each(?1)) AS advanced
WHERE perflab_watches.id = advanced.id

-- name: watches
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload
FROM perflab_watches
ORDER BY name

-- name: watches_named
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload
FROM perflab_watches
WHERE name IN (SELECT value FROM json_each(?1))
ORDER BY name

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
