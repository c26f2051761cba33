"""Room and vacuum for the tables that are rewritten all the time.

Autovacuum comes by default when a fifth of a table is dead: 200,000 rows where a million jobs wait, all of them in the
way of the index scans of claims and ticks. At a fiftieth it has less to do each time. (Oban for Python has a fiftieth,
pgqueuer a hundredth.)

An ingest state is updated in its page, without new index entries, where there is room for the new version. Jobs and
watches cannot be, whatever the room: what changes decides which indexes they are in.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SETTINGS = {
    "perflab_jobs": {"autovacuum_vacuum_scale_factor": "0.02"},
    "perflab_watches": {"autovacuum_vacuum_scale_factor": "0.02"},
    "perflab_ingest_states": {"autovacuum_vacuum_scale_factor": "0.02", "fillfactor": "50"},
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, settings in _SETTINGS.items():
            values = ", ".join(f"{name} = {value}" for name, value in settings.items())
            op.execute(f"ALTER TABLE {table} SET ({values})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, settings in _SETTINGS.items():
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})")
