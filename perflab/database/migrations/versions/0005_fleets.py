"""Fleets of batchers: their settings, and what their members report."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COUNTS = ("items", "batches", "round_trips", "round_trips_saved", "retries", "failed", "pending")


def upgrade() -> None:
    op.create_table(
        "perflab_fleets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("version", sa.BigInteger, nullable=False),  # of the settings
        sa.Column("batch_size", sa.Integer),
        sa.Column("flush_interval", sa.Double),  # seconds
        sa.Column("max_in_flight", sa.Integer),
        sa.Column("jitter", sa.Double, nullable=False),
    )
    op.create_table(
        "perflab_fleet_members",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("fleet_id", sa.Integer, sa.ForeignKey("perflab_fleets.id", ondelete="CASCADE"), nullable=False),
        sa.Column("heard_at", sa.BigInteger, nullable=False),  # by the clock of the database
        sa.Column("heartbeat", sa.Double, nullable=False),  # seconds between two of them
        sa.Column("has_left", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
    )


def downgrade() -> None:
    for table in ("perflab_fleet_members", "perflab_fleets"):
        op.drop_table(table)
