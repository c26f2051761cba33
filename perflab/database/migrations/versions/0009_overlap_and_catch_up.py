"""What becomes of slots that come while jobs are unfinished, and of slots that were missed; which watches fail."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("perflab_watches", sa.Column("overlap", sa.Text, nullable=False, server_default="skip"))
    op.add_column("perflab_watches", sa.Column("catch_up", sa.SmallInteger, nullable=False, server_default="1"))
    op.add_column("perflab_watches", sa.Column("waiting_slot", sa.BigInteger))
    failing = sa.text("consecutive_failures > 0")
    op.create_index(
        "perflab_ingest_states_failing",
        "perflab_ingest_states",
        ["watch_id"],
        sqlite_where=failing,
        postgresql_where=failing,
    )


def downgrade() -> None:
    op.drop_index("perflab_ingest_states_failing", "perflab_ingest_states")
    for column in ("waiting_slot", "catch_up", "overlap"):
        op.drop_column("perflab_watches", column)
