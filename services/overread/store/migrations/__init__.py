"""Schema migrations (Alembic), run by every process that opens the house, one after the other."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from overread.store.engine import Store


def upgrade(store: Store) -> None:
    """Bring the schema up to date; a second process waits for the first and finds nothing to do."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with store.writing() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "head")
