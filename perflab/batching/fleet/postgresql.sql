-- Fleets on PostgreSQL.
--
-- A slot is a transaction-level advisory lock: (the table of fleets, 1,024 for each fleet and one for each slot). It is
-- held exactly as long as the database works on the flush. A killed client's statements may run on, and so does its
-- lock; when they end, so does the lock. A lease in a table would have to guess that moment, and would cost two round
-- trips a flush. Session-level locks do not work through a pooler that lends a session for one transaction only; these
-- do.

-- name: admit
-- Takes a free slot, or waits for one that is drawn at random; nothing else is locked yet, so that nobody can wait in a
-- circle. The cap is read here, and so holds from its change on, for all that come after.
WITH fleet AS MATERIALIZED (
    SELECT tableoid::int4 AS class, id * 1024 AS base, version, batch_size, flush_interval, max_in_flight, jitter
    FROM perflab_fleets
    WHERE name = %(fleet)s::text
),
taken AS MATERIALIZED (
    SELECT slot
    FROM fleet, generate_series(1, max_in_flight) AS slot
    WHERE pg_try_advisory_xact_lock(class, base + slot)
    LIMIT 1
),
waited AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(class, base + 1 + floor(random() * max_in_flight)::int4)
    FROM fleet
    WHERE max_in_flight IS NOT NULL AND NOT EXISTS (SELECT FROM taken)
)
SELECT version, batch_size, flush_interval, max_in_flight, jitter
FROM fleet
WHERE (SELECT count(*) FROM waited) >= 0

-- name: settings
SELECT version, batch_size, flush_interval, max_in_flight, jitter
FROM perflab_fleets
WHERE name = %(fleet)s::text

-- name: names
SELECT name FROM perflab_fleets ORDER BY name

-- name: found
INSERT INTO perflab_fleets (name, version, jitter) VALUES (%(fleet)s::text, 0, 0) ON CONFLICT (name) DO NOTHING

-- name: configure
-- Members that listen hear of it when it is committed.
UPDATE perflab_fleets
SET
    version = version + 1,
    batch_size = %(batch_size)s::int4,
    flush_interval = %(flush_interval)s::float8,
    max_in_flight = %(max_in_flight)s::int4,
    jitter = %(jitter)s::float8
WHERE name = %(fleet)s::text
RETURNING pg_notify('perflab_fleets', name)

-- name: forget
-- Passes over what another member forgets at this moment.
DELETE FROM perflab_fleet_members
WHERE instance IN (
    SELECT instance
    FROM perflab_fleet_members
    WHERE heard_at < extract(epoch FROM clock_timestamp()) * 1000000 - 3600000000
    FOR UPDATE SKIP LOCKED
)

-- name: report
INSERT INTO perflab_fleet_members (
    instance, fleet_id, heard_at, heartbeat, has_left,
    items, batches, round_trips, round_trips_saved, retries, failed, pending
)
SELECT
    %(instance)s::text, id, extract(epoch FROM clock_timestamp()) * 1000000, %(heartbeat)s::float8, %(has_left)s::bool,
    %(items)s::int8, %(batches)s::int8, %(round_trips)s::int8, %(round_trips_saved)s::int8, %(retries)s::int8,
    %(failed)s::int8, %(pending)s::int8
FROM perflab_fleets
WHERE name = %(fleet)s::text
ON CONFLICT (instance) DO UPDATE SET
    heard_at = excluded.heard_at,
    has_left = excluded.has_left,
    items = excluded.items,
    batches = excluded.batches,
    round_trips = excluded.round_trips,
    round_trips_saved = excluded.round_trips_saved,
    retries = excluded.retries,
    failed = excluded.failed,
    pending = excluded.pending

-- name: metrics
-- objsubid 2 is what pg_locks shows for keys of two numbers.
SELECT
    fleet.batch_size, fleet.flush_interval, fleet.max_in_flight, fleet.jitter,
    CASE WHEN fleet.max_in_flight IS NOT NULL THEN locks.granted END,
    CASE WHEN fleet.max_in_flight IS NOT NULL THEN locks.waiting END,
    instance, has_left, heartbeat, extract(epoch FROM clock_timestamp())::float8 - heard_at / 1000000.0::float8,
    items, batches, round_trips, round_trips_saved, retries, failed, pending
FROM perflab_fleets AS fleet
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE granted) AS granted, count(*) FILTER (WHERE NOT granted) AS waiting
    FROM pg_locks
    WHERE
        locktype = 'advisory' AND objsubid = 2 AND classid = fleet.tableoid
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND objid::int8 BETWEEN fleet.id * 1024 + 1 AND fleet.id * 1024 + 1023
) AS locks
LEFT JOIN perflab_fleet_members ON fleet_id = fleet.id
WHERE fleet.name = %(fleet)s::text
ORDER BY instance
