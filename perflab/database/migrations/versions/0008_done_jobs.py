"""Finished jobs and their results, where a queue keeps them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "perflab_jobs_done",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("run_at", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("payload", sa.Text().with_variant(JSON, "postgresql"), nullable=False),
        sa.Column("payload_zstd", sa.LargeBinary),
        sa.Column("result", sa.Text().with_variant(JSON, "postgresql"), nullable=False),
        sa.Column("result_zstd", sa.LargeBinary),
        sa.Column("enqueued_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger, nullable=False),
    )
    op.create_index("perflab_jobs_done_at", "perflab_jobs_done", ["queue", "done_at", "id"])
    if op.get_bind().dialect.name == "postgresql":
        for column in ("payload_zstd", "result_zstd"):  # they do not shrink any further
            op.execute(f"ALTER TABLE perflab_jobs_done ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("perflab_jobs_done")
