"""Workers: one lease for all jobs that a worker holds, in one row.

The running jobs of a queue are found by who holds them, and those that have a lease of their own by its end.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "perflab_workers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),  # 0: lost for good
        # An id must never come back: jobs of a worker that is gone would belong to another one.
        sqlite_autoincrement=True,
    )
    # No index but the key: there are few workers, and a heartbeat that changes no index is a small write.
    op.add_column("perflab_jobs", sa.Column("worker_id", sa.BigInteger))
    _index_running_jobs(["queue", "worker_id", "lease_until"])


def downgrade() -> None:
    _index_running_jobs(["queue", "lease_until"])
    op.drop_column("perflab_jobs", "worker_id")
    op.drop_table("perflab_workers")


def _index_running_jobs(columns: list[str]) -> None:
    op.drop_index("perflab_jobs_running", "perflab_jobs")
    running = sa.text("state = 'running'")
    op.create_index("perflab_jobs_running", "perflab_jobs", columns, sqlite_where=running, postgresql_where=running)
