"""Items that a batcher could not write."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "perflab_dead_letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("failed_at", sa.BigInteger, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("error_type", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    if count := op.get_bind().execute(sa.text("SELECT count(*) FROM perflab_dead_letters")).scalar():
        raise RuntimeError(
            f"perflab_dead_letters holds {count} items, which the older schema cannot: deal with them first"
        )
    op.drop_table("perflab_dead_letters")
