-- The scheduler's statements on PostgreSQL. Many rows travel as binary arrays, one for each column. Whoever waits for locks
-- on watches takes them in the order of their names, so that no two ever wait for each other: arrays come sorted, or the
-- statement sorts. A LATERAL look-up keeps the order of an array, and reads by index however large table and batch are.
--
-- `/* ledger: … */` names the columns of the part `answer` that the ledger keeps (perflab/database/ledger.py).

-- name: add_watches
-- The arrays hold no NULLs where another value can say it: 0 for no interval and for a first slot that is now. An array of
-- one value stands for a column that holds no other: unnest pads it with NULLs, for which that value is put in; `frames`
-- is empty where nothing is compressed. Returns the ids in the order of the names' code points, whatever the encoding of
-- the database is.
WITH written AS (
    INSERT INTO perflab_watches
        (name, queue, priority, "interval", cron, timezone, next_due_at, enabled, payload, payload_zstd)
    SELECT
        name,
        coalesce(queue, (%(queues)b::text[])[1]),
        priority,
        nullif("interval", 0),
        nullif(coalesce(cron, (%(crons)b::text[])[1]), ''),
        coalesce(timezone, (%(timezones)b::text[])[1]),
        coalesce(nullif(coalesce(first_slot, (%(first_slots)b::int8[])[1]), 0), %(now)s::int8),
        coalesce(enabled, (%(enabled)b::int8[])[1]) = 1,
        payload::json,
        payload_zstd
    FROM unnest(
        %(names)b::text[], %(queues)b::text[], %(priorities)b::int8[], %(intervals)b::int8[], %(crons)b::text[],
        %(timezones)b::text[], %(first_slots)b::int8[], %(enabled)b::int8[], %(payloads)b::text[],
        %(frames)b::bytea[]
    ) AS given (name, queue, priority, "interval", cron, timezone, first_slot, enabled, payload, payload_zstd)
    ON CONFLICT (name) DO UPDATE
    SET queue = excluded.queue,
        priority = excluded.priority,
        "interval" = excluded."interval",
        cron = excluded.cron,
        timezone = excluded.timezone,
        -- The slot stays unless the schedule changes; an interval has no use for the time zone.
        next_due_at = CASE
            WHEN perflab_watches."interval" = excluded."interval"
                OR perflab_watches.cron = excluded.cron AND perflab_watches.timezone = excluded.timezone
            THEN perflab_watches.next_due_at
            ELSE excluded.next_due_at
        END,
        enabled = excluded.enabled,
        payload = excluded.payload,
        payload_zstd = excluded.payload_zstd
    RETURNING name, id
),
answer AS (SELECT array_agg(id ORDER BY convert_to(name, 'UTF8')) AS ids FROM written)
/* ledger: ids */
SELECT ids FROM answer

-- name: update_ingest_states
-- One row for each watch, which holds all that the batch says of it. The lock keeps a watch from being removed between
-- its look-up and the write, which would refuse the whole batch; it lets ticks pass. Returns the names that no watch has.
-- 0 stands for no success, and without failures there is no error. One look-up of all names takes the locks in half the
-- time of one for each.
WITH given AS MATERIALIZED (
    SELECT
        name,
        cursor,
        etag,
        last_success_at,
        coalesce(last_error, (%(last_errors)b::text[])[1]) AS last_error,
        coalesce(failures, (%(failures)b::int8[])[1]) AS failures
    FROM unnest(
        %(names)b::text[], %(cursors)b::text[], %(etags)b::text[], %(last_successes)b::int8[], %(last_errors)b::text[],
        %(failures)b::int8[]
    ) AS given (name, cursor, etag, last_success_at, last_error, failures)
),
known AS MATERIALIZED (
    SELECT watch.id, given.*
    FROM (
        SELECT id, name FROM perflab_watches WHERE name = ANY(%(names)b::text[]) ORDER BY name COLLATE "C" FOR KEY SHARE
    ) AS watch
    JOIN given ON given.name = watch.name
),
written AS (
    INSERT INTO perflab_ingest_states AS stored
        (watch_id, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at)
    SELECT
        id, cursor, etag, nullif(last_success_at, 0), CASE WHEN failures > 0 THEN last_error END, failures, %(now)s::int8
    FROM known
    ORDER BY id
    ON CONFLICT (watch_id) DO UPDATE
    SET cursor = coalesce(excluded.cursor, stored.cursor),
        etag = coalesce(excluded.etag, stored.etag),
        last_success_at = coalesce(excluded.last_success_at, stored.last_success_at),
        last_error = excluded.last_error,
        -- Failures are counted on, or from the success that the row holds.
        consecutive_failures = excluded.consecutive_failures
            + CASE WHEN excluded.last_success_at IS NULL THEN stored.consecutive_failures ELSE 0 END,
        updated_at = excluded.updated_at
),
answer AS (
    SELECT name
    FROM given
    WHERE (SELECT count(*) FROM known) < cardinality(%(names)b::text[]) AND name NOT IN (SELECT name FROM known)
)
/* ledger: name */
SELECT name FROM answer

-- name: lock_watches_to_remove
-- Before remove_watches, in the same transaction: it takes the locks in order. A statement that locks rows and changes
-- them too goes back to the versions of before the lock, and may wait for ever for somebody who waits for the new ones.
SELECT count(*)
FROM unnest(%(names)b::text[]) AS given (name)
CROSS JOIN LATERAL (SELECT id FROM perflab_watches WHERE perflab_watches.name = given.name FOR UPDATE) AS watch

-- name: remove_watches
-- All that is locked already is in it. A watch that was added since then would be locked out of order: whoever holds it
-- has added it after this call.
WITH named AS MATERIALIZED (
    SELECT watch.id
    FROM unnest(%(names)b::text[]) AS given (name)
    CROSS JOIN LATERAL (
        SELECT id FROM perflab_watches WHERE perflab_watches.name = given.name FOR UPDATE SKIP LOCKED
    ) AS watch
),
answer AS (DELETE FROM perflab_watches WHERE id = ANY (ARRAY(SELECT id FROM named)) RETURNING name)
/* ledger: name */
SELECT name FROM answer

-- name: lock_watches_to_change
-- As above, before enable_watches.
SELECT count(*)
FROM unnest(%(names)b::text[]) AS given (name)
CROSS JOIN LATERAL (SELECT id FROM perflab_watches WHERE perflab_watches.name = given.name FOR NO KEY UPDATE) AS watch

-- name: enable_watches
WITH named AS MATERIALIZED (
    SELECT watch.id
    FROM unnest(%(names)b::text[]) AS given (name)
    CROSS JOIN LATERAL (
        SELECT id FROM perflab_watches WHERE perflab_watches.name = given.name FOR NO KEY UPDATE SKIP LOCKED
    ) AS watch
),
answer AS (
    UPDATE perflab_watches SET enabled = %(enabled)s::bool WHERE id = ANY (ARRAY(SELECT id FROM named)) RETURNING name
)
/* ledger: name */
SELECT name FROM answer

-- name: tick
-- Everything for the interval watches, and what is due of the cron watches. Watches that somebody else holds are skipped,
-- so that a tick does not wait for a watch: another tick takes those, or the next one does. (The server may wait all the
-- same for one that an ingest holds and two others change while the tick runs. Should that end in a deadlock, one of them
-- fails in a way that passes.) The rows that it holds are checked again after the lock, so that no slot is taken twice.
-- The array reads by id what was locked, where a join would trust an estimate of how many are due and might read the
-- whole table for three.
WITH due AS MATERIALIZED (
    SELECT id, name, queue, priority, "interval", cron, timezone, next_due_at, payload, payload_zstd
    FROM perflab_watches
    WHERE enabled AND next_due_at <= %(now)s::int8
    ORDER BY next_due_at
    LIMIT %(limit)s::int8
    FOR NO KEY UPDATE SKIP LOCKED
),
enqueued AS (
    INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
    SELECT
        queue,
        priority,
        next_due_at,
        'ready',
        %(attempts)s::int2,
        'watch:' || name,
        json_build_object(
            'watch', name,
            'slot', to_char(to_timestamp(next_due_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
                || '.' || lpad((next_due_at %% 1000000)::text, 6, '0') || '+00:00',
            'payload', payload
        ),
        payload_zstd,
        %(now)s::int8
    FROM due
    WHERE cron IS NULL
    -- The key is what skips a watch whose last job is not finished. Who is finishing it just now is waited for.
    ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO NOTHING
    RETURNING 1
),
advanced AS (
    UPDATE perflab_watches
    -- Anchored to the slot: slot + interval * (floor((now - slot) / interval) + 1). Late ticks make no drift.
    SET next_due_at = next_due_at + "interval" * ((%(now)s::int8 - next_due_at) / "interval" + 1)
    WHERE id = ANY (ARRAY(SELECT id FROM due WHERE cron IS NULL))
)
SELECT
    count(*) FILTER (WHERE cron IS NULL),
    (SELECT count(*) FROM enqueued),
    count(*) FILTER (WHERE %(now)s::int8 - next_due_at >= "interval"),
    min(next_due_at) FILTER (WHERE cron IS NULL),
    CASE WHEN count(*) = %(limit)s::int8 THEN EXISTS (
        SELECT FROM perflab_watches WHERE enabled AND next_due_at <= %(now)s::int8
        ORDER BY next_due_at OFFSET %(limit)s::int8 LIMIT 1
    ) ELSE false END,
    array_agg(id) FILTER (WHERE cron IS NOT NULL),
    array_agg(next_due_at) FILTER (WHERE cron IS NOT NULL),
    array_agg(cron) FILTER (WHERE cron IS NOT NULL),
    array_agg(timezone) FILTER (WHERE cron IS NOT NULL),
    array_agg(name) FILTER (WHERE cron IS NOT NULL)
FROM due

-- name: tick_crons
-- The cron watches that the statement before saw, with the next slots that Python told. Those that somebody has moved on
-- or changed meanwhile are no longer its business. They are compared outside of the look-up, which would else be free to
-- go by the slot, and that is the same for all watches of midnight.
WITH due AS MATERIALIZED (
    SELECT watch.id, watch.name, watch.queue, watch.priority, watch.next_due_at, watch.payload,
        watch.payload_zstd, seen.next_slot, seen.late
    FROM unnest(
        %(ids)b::int8[], %(slots)b::int8[], %(crons)b::text[], %(timezones)b::text[], %(next_slots)b::int8[],
        %(late)b::bool[]
    ) AS seen (id, slot, cron, timezone, next_slot, late)
    CROSS JOIN LATERAL (
        SELECT * FROM perflab_watches WHERE perflab_watches.id = seen.id FOR NO KEY UPDATE SKIP LOCKED
    ) AS watch
    WHERE watch.enabled
        AND watch.next_due_at = seen.slot AND watch.cron = seen.cron AND watch.timezone = seen.timezone
),
enqueued AS (
    INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
    SELECT
        queue,
        priority,
        next_due_at,
        'ready',
        %(attempts)s::int2,
        'watch:' || name,
        json_build_object(
            'watch', name,
            'slot', to_char(to_timestamp(next_due_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
                || '.' || lpad((next_due_at %% 1000000)::text, 6, '0') || '+00:00',
            'payload', payload
        ),
        payload_zstd,
        %(now)s::int8
    FROM due
    ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO NOTHING
    RETURNING 1
),
advanced AS (
    UPDATE perflab_watches
    SET next_due_at = coalesce(due.next_slot, perflab_watches.next_due_at), enabled = due.next_slot IS NOT NULL
    FROM due
    WHERE perflab_watches.id = due.id
)
SELECT count(*), (SELECT count(*) FROM enqueued), count(*) FILTER (WHERE late), min(next_due_at) FROM due

-- name: watches
-- In the order of the code points, as on SQLite, whatever the database's own order is.
SELECT id, name, queue, priority, "interval", cron, timezone, next_due_at, enabled, payload::text,
    payload_zstd
FROM perflab_watches
ORDER BY name COLLATE "C"

-- name: watches_named
SELECT id, name, queue, priority, "interval", cron, timezone, next_due_at, enabled, payload::text,
    payload_zstd
FROM perflab_watches
WHERE name = ANY (%(names)b::text[])
ORDER BY name COLLATE "C"

-- name: due_soon
SELECT id, name, queue, priority, "interval", cron, timezone, next_due_at, enabled, payload::text,
    payload_zstd
FROM perflab_watches
WHERE enabled AND next_due_at <= %(until)s::int8
ORDER BY next_due_at
LIMIT %(limit)s::int8

-- name: ingest_states
SELECT name, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at
FROM perflab_ingest_states
JOIN perflab_watches ON id = watch_id
ORDER BY name COLLATE "C"

-- name: ingest_states_named
SELECT name, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at
FROM perflab_watches
JOIN perflab_ingest_states ON id = watch_id
WHERE name = ANY (%(names)b::text[])
ORDER BY name COLLATE "C"
