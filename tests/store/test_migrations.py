"""Migrations make exactly the tables that the rooms declare, once, however many processes ask."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from overread.house import declare_tables
from overread.store.engine import Store, metadata
from overread.store.migrations import upgrade

OPEN = """
import sys
from overread.store.engine import Store
from overread.store.migrations import upgrade
upgrade(Store(sys.argv[1]))
"""


def test_the_migrated_schema_is_the_declared_one(empty: str) -> None:
    declare_tables()
    store = Store(empty)
    upgrade(store)
    with store.reading() as tx:
        found = MigrationContext.configure(tx)
        assert compare_metadata(found, metadata) == []
    store.close()


def test_processes_that_open_a_house_together_migrate_it_once(empty: str) -> None:
    racers = [subprocess.Popen([sys.executable, "-c", OPEN, empty], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(racer.communicate()[1].decode(), racer.returncode) for racer in racers] == [("", 0)] * 4


def test_an_index_that_the_relay_needs_holds_only_what_was_set_aside(empty: str) -> None:
    """Alembic does not compare the condition of an index."""
    store = Store(empty)
    upgrade(store)
    with store.reading() as tx:
        (found,) = (index for index in inspect(tx).get_indexes("outbox") if index["name"] == "outbox_refused")
        (condition,) = (str(value) for name, value in found["dialect_options"].items() if name.endswith("_where"))
    assert condition.strip("()") == "refused IS NOT NULL"
    store.close()


def test_a_new_file_takes_any_number_of_first_connections_at_once(tmp_path: Path) -> None:
    """SQLite refuses the change to WAL at once, whatever the timeout, to one of two that want it together."""
    together = Barrier(6)

    def open_first(url: str) -> str:
        store = Store(url)
        together.wait()
        with store.reading() as tx:
            mode = tx.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        store.close()
        return str(mode)

    with ThreadPoolExecutor(6) as pool:
        for house in range(40):
            assert list(pool.map(open_first, [f"sqlite:///{tmp_path}/{house}.db"] * 6)) == ["wal"] * 6


def test_a_schema_that_is_up_to_date_is_only_read(empty: str) -> None:
    store = Store(empty)
    upgrade(store)
    other = Store(store.url)
    with store.writing():  # somebody writes: an upgrade that wanted the lock would wait here
        upgrade(other)
    other.close()
    store.close()
