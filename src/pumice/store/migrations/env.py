"""Run by Alembic: the migrations use the connection, and the transaction, that ``schema.py`` hands in."""

from alembic import context

from pumice.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
