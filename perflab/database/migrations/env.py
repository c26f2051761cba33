"""Alembic's entry: runs the migrations on the connection that `schema.upgrade` holds open, in its transaction."""

from alembic import context

from perflab.database.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller's transaction is the one
)
context.run_migrations()
