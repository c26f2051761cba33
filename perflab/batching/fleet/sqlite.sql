-- Fleets on SQLite, where a file has one writer: its lock is the cap on flushes in flight, and that is 1.
-- julianday tells milliseconds; it counts from noon of 4714 BC, and 2440587.5 is 1970.

-- name: admit
SELECT version, batch_size, flush_interval, max_in_flight, jitter FROM perflab_fleets WHERE name = :fleet

-- name: settings
SELECT version, batch_size, flush_interval, max_in_flight, jitter FROM perflab_fleets WHERE name = :fleet

-- name: names
SELECT name FROM perflab_fleets ORDER BY name

-- name: found
INSERT INTO perflab_fleets (name, version, jitter) VALUES (:fleet, 0, 0) ON CONFLICT (name) DO NOTHING

-- name: configure
UPDATE perflab_fleets
SET
    version = version + 1,
    batch_size = :batch_size,
    flush_interval = :flush_interval,
    max_in_flight = :max_in_flight,
    jitter = :jitter
WHERE name = :fleet

-- name: forget
DELETE FROM perflab_fleet_members
WHERE heard_at < (julianday('now') - 2440587.5) * 86400000000 - 3600000000

-- name: report
-- WHERE keeps the parser from taking ON CONFLICT for the ON of a join.
INSERT INTO perflab_fleet_members (
    instance, fleet_id, heard_at, heartbeat, has_left,
    items, batches, round_trips, round_trips_saved, retries, failed, pending
)
SELECT
    :instance, id, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), :heartbeat, :has_left,
    :items, :batches, :round_trips, :round_trips_saved, :retries, :failed, :pending
FROM perflab_fleets
WHERE name = :fleet
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
SELECT
    fleet.batch_size, fleet.flush_interval, fleet.max_in_flight, fleet.jitter, NULL, NULL,
    instance, has_left, heartbeat, (julianday('now') - 2440587.5) * 86400 - heard_at / 1000000.0,
    items, batches, round_trips, round_trips_saved, retries, failed, pending
FROM perflab_fleets AS fleet
LEFT JOIN perflab_fleet_members ON fleet_id = fleet.id
WHERE fleet.name = :fleet
ORDER BY instance
