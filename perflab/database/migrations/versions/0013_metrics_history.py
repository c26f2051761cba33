"""What happened in each minute, and later in each hour."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "perflab_metrics_history",
        sa.Column("resolution", sa.Integer, nullable=False),  # seconds, of the grid that the row belongs to
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("counted", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("resolution", "ended_at"),
    )


def downgrade() -> None:
    op.drop_table("perflab_metrics_history")
