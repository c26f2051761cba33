"""Jobs, watches and ingest states.

Times are microseconds since 1970 in UTC: exact, and compared as integers.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "perflab_jobs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("run_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("max_attempts", sa.SmallInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("worker", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("payload", sa.Text().with_variant(JSON, "postgresql"), nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("enqueued_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("state IN ('scheduled', 'ready', 'running', 'dead')", name="perflab_jobs_state"),
        # An id must never come back: an acknowledgement of a deleted job would then hit another one.
        sqlite_autoincrement=True,
    )
    # One partial index for each state: a claim reads the ready ones in its own order and sees nothing else, however
    # many jobs wait for their time or are dead; and it is immune to what ANALYZE says of the state column.
    for name, columns, state in (
        ("perflab_jobs_ready", ["queue", "priority", "run_at", "id"], "ready"),
        ("perflab_jobs_scheduled", ["queue", "run_at"], "scheduled"),
        ("perflab_jobs_running", ["queue", "lease_until"], "running"),
        ("perflab_jobs_dead", ["queue", "run_at"], "dead"),
    ):
        only = sa.text(f"state = '{state}'")
        op.create_index(name, "perflab_jobs", columns, sqlite_where=only, postgresql_where=only)
    unfinished = sa.text("key IS NOT NULL AND state <> 'dead'")
    op.create_index(
        "perflab_jobs_key",
        "perflab_jobs",
        ["queue", "key"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )

    op.create_table(
        "perflab_watches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("interval", sa.BigInteger),  # microseconds
        sa.Column("cron", sa.Text),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("next_due_at", sa.BigInteger, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("payload", sa.Text().with_variant(JSON, "postgresql"), nullable=False),
        sa.CheckConstraint("(interval IS NULL) <> (cron IS NULL)", name="perflab_watches_schedule"),
    )
    due = sa.text("enabled")
    op.create_index("perflab_watches_due", "perflab_watches", ["next_due_at"], sqlite_where=due, postgresql_where=due)

    op.create_table(
        "perflab_ingest_states",
        sa.Column(
            "watch_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("perflab_watches.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("cursor", sa.Text),
        sa.Column("etag", sa.Text),
        sa.Column("last_success_at", sa.BigInteger),
        sa.Column("last_error", sa.Text),
        sa.Column("consecutive_failures", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("perflab_ingest_states", "perflab_watches", "perflab_jobs"):
        op.drop_table(table)
