"""Alembic's environment: runs on the connection that homerec.database.migrations hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="alembic_version",
    version_table_schema="homerec",
)
with context.begin_transaction():
    context.run_migrations()
