"""Alembic's entry: migrates on the connection that `upgrade` hands over, inside its transaction."""

from alembic import context

from overread.store.engine import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
