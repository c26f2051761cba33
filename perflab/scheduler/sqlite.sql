-- The scheduler's statements on SQLite. Whoever writes with them holds the write lock (BEGIN IMMEDIATE), so that
-- nothing changes between two statements: the due watches of one tick are the same in all of them.

-- name: add_watches
-- The row after VALUES is repeated for as many watches as one statement takes; ?1 is now. Rows hold no NULLs, because the
-- driver is slow at binding them; a compressed payload is a blob in the place of its text. WHERE true keeps the parser
-- from taking ON CONFLICT for a join.
INSERT INTO perflab_watches
    (name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload, payload_zstd)
SELECT column1, column2, column3, nullif(column4, 0), nullif(column5, ''), column6, coalesce(nullif(column7, 0), ?1),
    column8, CASE typeof(column9) WHEN 'blob' THEN 'null' ELSE column9 END,
    CASE typeof(column9) WHEN 'blob' THEN column9 END
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
-- cost time and bound its depth. A compressed one goes along as it is, and is null there.
INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
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
    payload_zstd,
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
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload, payload_zstd
FROM perflab_watches
ORDER BY name

-- name: watches_named
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload, payload_zstd
FROM perflab_watches
WHERE name IN (SELECT value FROM json_each(?1))
ORDER BY name

-- name: due_soon
SELECT id, name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload, payload_zstd
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
