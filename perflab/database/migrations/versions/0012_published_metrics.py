"""What processes publish of their metrics."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "perflab_metrics",
        sa.Column("process", sa.Text, primary_key=True),
        sa.Column("heard_at", sa.BigInteger, nullable=False),  # by the clock of the database
        sa.Column("interval", sa.Double, nullable=False),  # seconds between two of them
        sa.Column("has_ended", sa.Boolean, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("perflab_metrics")
