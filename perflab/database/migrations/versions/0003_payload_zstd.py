"""Compressed payloads of jobs and watches.

The name of the column says how its bytes are encoded, so that a row cannot have one without the other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("perflab_jobs", "perflab_watches")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("payload_zstd", sa.LargeBinary))
        if op.get_bind().dialect.name == "postgresql":
            # It does not shrink any further: spare the server the attempt.
            op.execute(f"ALTER TABLE {table} ALTER COLUMN payload_zstd SET STORAGE EXTERNAL")


def downgrade() -> None:
    for table in TABLES:
        compressed = sa.text(f"SELECT count(*) FROM {table} WHERE payload_zstd IS NOT NULL")  # noqa: S608
        if count := op.get_bind().execute(compressed).scalar():
            raise RuntimeError(
                f"{table} has {count} compressed payloads, which the older schema cannot hold: let these jobs be done, "
                "or add these watches again without compression"
            )
        op.drop_column(table, "payload_zstd")
