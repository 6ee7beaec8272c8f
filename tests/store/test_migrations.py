"""Migrations make exactly the tables that the rooms declare, once, however many processes ask."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from overread.bootstrap import declare_tables
from overread.store.engine import Store, metadata
from overread.store.migrations import upgrade

OPEN = """
import sys
from overread.store.engine import Store
from overread.store.migrations import upgrade
upgrade(Store(sys.argv[1]))
"""


def test_the_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    declare_tables()
    store = Store(f"sqlite:///{tmp_path}/overread.db")
    upgrade(store)
    with store.reading() as tx:
        found = MigrationContext.configure(tx)
        assert compare_metadata(found, metadata) == []
    store.close()


def test_processes_that_open_a_house_together_migrate_it_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/overread.db"
    racers = [subprocess.Popen([sys.executable, "-c", OPEN, url], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(racer.communicate()[1].decode(), racer.returncode) for racer in racers] == [("", 0)] * 4


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


def test_a_schema_that_is_up_to_date_is_only_read(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/overread.db")
    upgrade(store)
    other = Store(store.url)
    with store.writing():  # somebody writes: an upgrade that wanted the lock would wait here
        upgrade(other)
    other.close()
    store.close()
