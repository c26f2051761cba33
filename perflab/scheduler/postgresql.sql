-- The scheduler's statements on PostgreSQL. Many rows travel as binary arrays, one for each column. Whoever waits for locks
-- on watches takes them in the order of their names, so that no two ever wait for each other: arrays come sorted, or the
-- statement sorts. A LATERAL look-up keeps the order of an array, and reads by index however large table and batch are.
--
-- Where LIMIT stands twice, the second time as `(SELECT …)`, it is to have an index read in its order, whatever the
-- statistics say (perflab/queue/postgresql.sql tells why).
--
-- `/* ledger: … */` names the columns of the part `answer` that the ledger keeps (perflab/database/ledger.py).

-- name: add_watches
-- The arrays hold no NULLs where another value can say it: 0 for no interval and for a first slot that is now. An array of
-- one value stands for a column that holds no other: unnest pads it with NULLs, for which that value is put in; `frames`
-- is empty where nothing is compressed. Returns the ids in the order of the names' code points, whatever the encoding of
-- the database is.
WITH written AS (
    INSERT INTO perflab_watches
        (name, queue, priority, "interval", cron, timezone, next_due_at, enabled, overlap, catch_up, payload, payload_zstd)
    SELECT
        name,
        coalesce(queue, (%(queues)b::text[])[1]),
        priority,
        nullif("interval", 0),
        nullif(coalesce(cron, (%(crons)b::text[])[1]), ''),
        coalesce(timezone, (%(timezones)b::text[])[1]),
        coalesce(nullif(coalesce(first_slot, (%(first_slots)b::int8[])[1]), 0), %(now)s::int8),
        coalesce(enabled, (%(enabled)b::int8[])[1]) = 1,
        coalesce(overlap, (%(overlaps)b::text[])[1]),
        coalesce(catch_up, (%(catch_ups)b::int8[])[1]),
        payload::json,
        payload_zstd
    FROM unnest(
        %(names)b::text[], %(queues)b::text[], %(priorities)b::int8[], %(intervals)b::int8[], %(crons)b::text[],
        %(timezones)b::text[], %(first_slots)b::int8[], %(enabled)b::int8[], %(overlaps)b::text[],
        %(catch_ups)b::int8[], %(payloads)b::text[], %(frames)b::bytea[]
    ) AS given (
        name, queue, priority, "interval", cron, timezone, first_slot, enabled, overlap, catch_up, payload, payload_zstd
    )
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
        overlap = excluded.overlap,
        catch_up = excluded.catch_up,
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
-- time of one for each, and only what it finds is kept: copies of all that is given would cost 0.3 µs a row.
WITH known AS MATERIALIZED (
    SELECT id, name FROM perflab_watches WHERE name = ANY(%(names)b::text[]) ORDER BY name COLLATE "C" FOR KEY SHARE
),
written AS (
    INSERT INTO perflab_ingest_states AS stored
        (watch_id, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at)
    SELECT
        id,
        cursor,
        etag,
        nullif(last_success_at, 0),
        CASE
            WHEN coalesce(failures, (%(failures)b::int8[])[1]) > 0
            THEN coalesce(last_error, (%(last_errors)b::text[])[1])
        END,
        coalesce(failures, (%(failures)b::int8[])[1]),
        %(now)s::int8
    FROM known
    JOIN unnest(
        %(names)b::text[], %(cursors)b::text[], %(etags)b::text[], %(last_successes)b::int8[], %(last_errors)b::text[],
        %(failures)b::int8[]
    ) AS given (name, cursor, etag, last_success_at, last_error, failures) USING (name)
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
    FROM unnest(%(names)b::text[]) AS given (name)
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

-- name: hold_jobs
SELECT id, attempt
FROM perflab_jobs
WHERE id = ANY(%(ids)b::int8[]) AND state || '' = 'running'
ORDER BY id
FOR UPDATE

-- name: hold_all_jobs
-- The same where nobody reads the answer before the rest of the transaction is sent: a text that is no number ends it.
WITH held AS MATERIALIZED (
    SELECT id, attempt
    FROM perflab_jobs
    WHERE id = ANY(%(ids)b::int8[]) AND state || '' = 'running'
    ORDER BY id
    FOR UPDATE
)
SELECT CASE WHEN count(held.id) < count(*) THEN (count(*) - count(held.id) || ' leases are lost')::int4 END
FROM unnest(%(ids)b::int8[], %(attempts)b::int8[]) AS given (id, attempt)
LEFT JOIN held ON held.id = given.id AND held.attempt = given.attempt

-- name: tick
-- Everything, in one statement and one transaction. Watches that somebody else holds are skipped, so that a tick does not
-- wait for a watch: another tick takes those, or the next one does. (The server may wait all the same for one that an
-- ingest holds and two others change while the tick runs. Should that end in a deadlock, one of them fails in a way that
-- passes.) The rows that it holds are checked again after the lock, so that no slot is taken twice.
--
-- Of cron expressions it knows what it is told: `crons` is a JSON object with the number of each, written "cron timezone",
-- and arrays hold by that number the slot to move on to and the newest that has come (0: none), how many of these were
-- looked for (`depths`), and where in `slots` they begin. A watch of another expression, or that needs more, is named in
-- the answer and left for the next tick. A join would be planned by an estimate of how many are due.
--
-- The array of ids reads what was locked by its id, where a join might read the whole table for three.
WITH due AS MATERIALIZED (
    SELECT
        held.*,
        cron IS NULL OR coalesce((%(depths)b::int8[])[number] >= catch_up, false) AS is_known,
        -- The newest of its slots.
        CASE
            WHEN cron IS NULL THEN next_due_at + "interval" * ((%(now)s::int8 - next_due_at) / "interval")
            ELSE greatest(next_due_at, (%(newest)b::int8[])[number])
        END AS slot,
        (
            SELECT true
            FROM perflab_ingest_states
            WHERE watch_id = held.id
                AND consecutive_failures > 0
                AND %(now)s::int8 < updated_at + least(
                    %(cap)s::int8, %(base)s::int8 << least(consecutive_failures - 1, %(doublings)s::int4)
                )
            LIMIT 1
        ) IS NOT NULL AS backed_off,
        -- A job that waits stands for this slot too. One that the row names and this statement cannot see yet was
        -- enqueued since it began, hence after this slot came, and waits or began after that.
        overlap <> 'coalesce' OR (
            waiting_slot IS NOT DISTINCT FROM (SELECT waiting_slot FROM perflab_watches AS seen WHERE seen.id = held.id)
            AND NOT EXISTS (
                SELECT
                FROM perflab_jobs
                WHERE perflab_jobs.queue = held.queue
                    AND key = 'slot:' || waiting_slot || ':' || name
                    AND state IN ('scheduled', 'ready')
                    AND state <> 'dead'
                OFFSET 0
            )
        ) AS admitted
    FROM (
        SELECT
            id, name, queue, priority, "interval", cron, timezone, next_due_at, overlap, catch_up, waiting_slot, payload,
            payload_zstd,
            (%(crons)s::jsonb ->> (cron || ' ' || timezone))::int4 AS number
        FROM perflab_watches
        WHERE enabled AND next_due_at <= %(now)s::int8
        ORDER BY next_due_at
        LIMIT (SELECT %(limit)s::int8)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS held
    LIMIT %(limit)s::int8
),
enqueued AS (
    INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, key, payload, payload_zstd, enqueued_at)
    SELECT
        queue,
        priority,
        slot,
        'ready',
        %(attempts)s::int2,
        CASE overlap WHEN 'skip' THEN 'watch:' || name ELSE 'slot:' || slot || ':' || name END,
        json_build_object(
            'watch', name,
            'slot', to_char(to_timestamp(slot / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
                || '.' || lpad((slot %% 1000000)::text, 6, '0') || '+00:00',
            'payload', payload
        ),
        payload_zstd,
        %(now)s::int8
    FROM (
        SELECT queue, priority, overlap, name, slot, payload, payload_zstd
        FROM due
        WHERE is_known AND admitted AND NOT backed_off
        UNION ALL
        SELECT queue, priority, overlap, name, missed.slot, payload, payload_zstd
        FROM due
        CROSS JOIN LATERAL (
            SELECT generate_series(
                greatest(next_due_at, due.slot - "interval" * (catch_up - 1)), due.slot - "interval", "interval"
            ) AS slot
            WHERE cron IS NULL
            UNION
            SELECT past.slot
            FROM unnest(
                next_due_at
                || (%(slots)b::int8[])[(%(starts)b::int8[])[number]:(%(starts)b::int8[])[number + 1] - 1]
            ) AS past (slot)
            WHERE cron IS NOT NULL AND past.slot >= next_due_at AND past.slot < due.slot
            ORDER BY slot DESC
            LIMIT catch_up - 1
        ) AS missed
        WHERE is_known AND catch_up > 1 AND NOT backed_off
    ) AS wanted
    -- The key is what skips a watch whose last job is not finished. Who is finishing it just now is waited for.
    ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO NOTHING
    RETURNING queue, starts_with(key, 'watch:') AS was_free
),
advanced AS (
    UPDATE perflab_watches
    SET
        -- Anchored to the slot: slot + interval * (floor((now - slot) / interval) + 1). Late ticks make no drift.
        next_due_at = CASE
            WHEN cron IS NULL THEN next_due_at + "interval" * ((%(now)s::int8 - next_due_at) / "interval" + 1)
            ELSE coalesce(
                nullif((%(next_slots)b::int8[])[(%(crons)s::jsonb ->> (cron || ' ' || timezone))::int4], 0),
                next_due_at
            )
        END,
        enabled = cron IS NULL
            OR (%(next_slots)b::int8[])[(%(crons)s::jsonb ->> (cron || ' ' || timezone))::int4] <> 0,
        waiting_slot = CASE
            WHEN overlap <> 'coalesce'
                OR id NOT IN (SELECT id FROM due WHERE overlap = 'coalesce' AND admitted AND NOT backed_off)
            THEN waiting_slot
            WHEN cron IS NULL THEN next_due_at + "interval" * ((%(now)s::int8 - next_due_at) / "interval")
            ELSE greatest(
                next_due_at, (%(newest)b::int8[])[(%(crons)s::jsonb ->> (cron || ' ' || timezone))::int4]
            )
        END
    WHERE id = ANY (ARRAY(SELECT id FROM due WHERE is_known))
)
SELECT
    count(*) FILTER (WHERE is_known),
    (SELECT count(*) FROM enqueued),
    count(*) FILTER (WHERE is_known AND NOT admitted AND NOT backed_off)
        + count(*) FILTER (WHERE is_known AND overlap = 'skip' AND NOT backed_off)
        - (SELECT count(*) FROM enqueued WHERE was_free),
    count(*) FILTER (WHERE is_known AND backed_off),
    count(*) FILTER (WHERE is_known AND slot > next_due_at),
    min(next_due_at) FILTER (WHERE is_known),
    CASE WHEN count(*) = %(limit)s::int8 THEN EXISTS (
        SELECT
        FROM (
            SELECT
            FROM perflab_watches
            WHERE enabled AND next_due_at <= %(now)s::int8
            ORDER BY next_due_at
            LIMIT (SELECT %(limit)s::int8 + 1)
        ) AS all_due
        OFFSET %(limit)s::int8
    ) ELSE false END,
    (
        SELECT json_agg(json_build_array(cron, timezone, catch_up))
        FROM (
            SELECT cron, timezone, max(catch_up) AS catch_up
            FROM due
            WHERE NOT is_known
            GROUP BY cron, timezone
        ) AS left_out
    ),
    -- Workers of each queue that got jobs are told once, when this is committed.
    (
        SELECT count(pg_notify(%(channel)s::text, queue)::text)
        FROM (SELECT DISTINCT queue FROM enqueued WHERE %(channel)s::text IS NOT NULL) AS woken
    )
FROM due

-- name: watches
-- In the order of the code points, as on SQLite, whatever the database's own order is.
SELECT id, name, queue, priority, "interval", cron, timezone, next_due_at, enabled, overlap, catch_up,
    payload::text, payload_zstd
FROM perflab_watches
ORDER BY name COLLATE "C"

-- name: watches_named
SELECT id, name, queue, priority, "interval", cron, timezone, next_due_at, enabled, overlap, catch_up,
    payload::text, payload_zstd
FROM perflab_watches
WHERE name = ANY (%(names)b::text[])
ORDER BY name COLLATE "C"

-- name: due_soon
SELECT id, name, queue, priority, "interval", cron, timezone, next_due_at, enabled, overlap, catch_up,
    payload::text, payload_zstd
FROM (
    SELECT *
    FROM perflab_watches
    WHERE enabled AND next_due_at <= %(until)s::int8
    ORDER BY next_due_at
    LIMIT (SELECT %(limit)s::int8)
) AS soon
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
