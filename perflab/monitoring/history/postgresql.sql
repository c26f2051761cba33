-- name: keep
-- Whoever has counted a span first keeps it: of several that record, each span is counted once.
INSERT INTO perflab_metrics_history (resolution, ended_at, began_at, counted)
SELECT %(resolution)s::int4, %(ended_at)s::int8, %(began_at)s::int8, %(counted)s::text
WHERE NOT EXISTS (
    SELECT 1 FROM perflab_metrics_history
    WHERE resolution = %(resolution)s::int4 AND ended_at > %(began_at)s::int8 AND began_at < %(ended_at)s::int8
)
ON CONFLICT (resolution, ended_at) DO NOTHING

-- name: oldest
SELECT min(ended_at) FROM perflab_metrics_history WHERE resolution = %(resolution)s::int4

-- name: take
-- Of two that thin out at once, one gets a row.
DELETE FROM perflab_metrics_history
WHERE resolution = %(resolution)s::int4 AND ended_at > %(since)s::int8 AND ended_at <= %(until)s::int8
RETURNING began_at, ended_at, counted

-- name: merge
INSERT INTO perflab_metrics_history (resolution, ended_at, began_at, counted)
VALUES (%(resolution)s::int4, %(ended_at)s::int8, %(began_at)s::int8, %(counted)s::text)
ON CONFLICT (resolution, ended_at) DO NOTHING

-- name: forget
DELETE FROM perflab_metrics_history WHERE resolution = %(resolution)s::int4 AND ended_at <= %(until)s::int8

-- name: between
SELECT began_at, ended_at, counted
FROM perflab_metrics_history
WHERE resolution = %(resolution)s::int4 AND ended_at > %(since)s::int8 AND ended_at <= %(until)s::int8
ORDER BY ended_at
