"""The ledger of batches.

Only a server can leave its client in doubt about a COMMIT. SQLite commits inside the process: when the call returns,
its outcome is known, and when the process dies, nobody is left to ask.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, UUID

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_table(
        "perflab_batches",
        sa.Column("id", UUID, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),  # of the answer in its batch; the first is always there
        sa.Column("fenced", sa.Boolean, nullable=False, server_default=sa.false()),  # not written, and never will be
        sa.Column("answer", JSON),
        sa.Column("written_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", "position"),
        # Few rows, of which each lives for about a hundred batches.
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "1000"},
    )
    # Compressing the ids of a thousand jobs takes a third of the time that keeping them takes, for rows of no future.
    op.execute("ALTER TABLE perflab_batches ALTER COLUMN answer SET STORAGE EXTERNAL")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("perflab_batches")
