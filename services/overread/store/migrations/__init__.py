"""Schema migrations (Alembic), run by every process that opens the house, one after the other."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from overread.store.engine import Store


def upgrade(store: Store) -> None:
    """Bring the schema up to date; a second process waits for the first and finds nothing to do.

    A schema that is up to date is only read: a full disk keeps nobody from looking at what is there.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with store.reading() as tx:
        if (
            MigrationContext.configure(tx).get_current_revision()
            == ScriptDirectory.from_config(config).get_current_head()
        ):
            return
    with store.writing() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "head")
