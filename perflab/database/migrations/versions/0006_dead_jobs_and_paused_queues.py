"""Pages of dead jobs, and queues that are paused.

The dead jobs of one call share their time, so that pages need the id in the index to begin in the middle of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _index_dead_jobs(["queue", "run_at", "id"])
    op.create_table(
        "perflab_queues",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("paused_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("perflab_queues")
    _index_dead_jobs(["queue", "run_at"])


def _index_dead_jobs(columns: list[str]) -> None:
    op.drop_index("perflab_jobs_dead", "perflab_jobs")
    dead = sa.text("state = 'dead'")
    op.create_index("perflab_jobs_dead", "perflab_jobs", columns, sqlite_where=dead, postgresql_where=dead)
