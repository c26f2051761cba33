-- The ledger on PostgreSQL. A batch writes its id in its own transaction, so that the id is there if and only if the batch
-- is. See postgresql_ledger.py.

-- name: is_present
SELECT coalesce(
    has_table_privilege(to_regclass('perflab_batches'), 'SELECT')
        AND has_table_privilege(to_regclass('perflab_batches'), 'INSERT')
        AND has_table_privilege(to_regclass('perflab_batches'), 'DELETE'),
    false
)

-- name: note
-- A batch of which no statement keeps its answer.
INSERT INTO perflab_batches (id, position) VALUES (%(ledger_batch)b, 0)

-- name: keep
-- One more part of a statement whose last part is called `answer`; it takes the place of a comment `/* ledger: columns */`.
-- One array for each column is half the size and cost of one object for each row.
, noted AS (
    INSERT INTO perflab_batches (id, position, answer)
    SELECT %(ledger_batch)b, %(ledger_position)b, json_build_array(/* columns */) FROM answer
)

-- name: fence
-- Waits until the transaction in doubt has ended, if it has come as far as its own row. If it has not, it can never be
-- committed from here on, because this row is in its way.
INSERT INTO perflab_batches (id, position, fenced) VALUES (%(batch)s, 0, true) ON CONFLICT (id, position) DO NOTHING

-- name: look_up
-- After `fence`, as a statement of its own: it sees what was committed while that one waited.
SELECT fenced, answer FROM perflab_batches WHERE id = %(batch)s ORDER BY position

-- name: forget
DELETE FROM perflab_batches WHERE id = ANY(%(batches)b)

-- name: forget_old
-- What processes left that have ended. Rows that another process is deleting are not waited for.
DELETE FROM perflab_batches
WHERE (id, position) IN (
    SELECT id, position
    FROM perflab_batches
    WHERE written_at < now() - interval '1 day'
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
)
