-- name: keep
-- Whoever has counted a span first keeps it: of several that record, each span is counted once.
INSERT INTO perflab_metrics_history (resolution, ended_at, began_at, counted)
SELECT :resolution, :ended_at, :began_at, :counted
WHERE NOT EXISTS (
    SELECT 1 FROM perflab_metrics_history
    WHERE resolution = :resolution AND ended_at > :began_at AND began_at < :ended_at
)
ON CONFLICT (resolution, ended_at) DO NOTHING

-- name: oldest
SELECT min(ended_at) FROM perflab_metrics_history WHERE resolution = :resolution

-- name: take
-- Of two that thin out at once, one gets a row.
DELETE FROM perflab_metrics_history
WHERE resolution = :resolution AND ended_at > :since AND ended_at <= :until
RETURNING began_at, ended_at, counted

-- name: merge
INSERT INTO perflab_metrics_history (resolution, ended_at, began_at, counted)
VALUES (:resolution, :ended_at, :began_at, :counted)
ON CONFLICT (resolution, ended_at) DO NOTHING

-- name: forget
DELETE FROM perflab_metrics_history WHERE resolution = :resolution AND ended_at <= :until

-- name: between
SELECT began_at, ended_at, counted
FROM perflab_metrics_history
WHERE resolution = :resolution AND ended_at > :since AND ended_at <= :until
ORDER BY ended_at
