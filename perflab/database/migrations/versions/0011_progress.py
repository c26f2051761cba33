"""How far running jobs are, as their handlers say.

No index has these columns, so that on PostgreSQL a report rewrites no index entry either.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("perflab_jobs", sa.Column("progress", sa.Double))  # 0 … 1
    op.add_column("perflab_jobs", sa.Column("progress_note", sa.Text))
    op.add_column("perflab_jobs", sa.Column("progress_attempt", sa.SmallInteger))
    op.add_column("perflab_jobs", sa.Column("progress_at", sa.BigInteger))


def downgrade() -> None:
    for column in ("progress_at", "progress_attempt", "progress_note", "progress"):
        op.drop_column("perflab_jobs", column)
