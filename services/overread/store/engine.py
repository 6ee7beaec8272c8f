"""The database: SQLite in WAL mode with `synchronous=FULL`, through SQLAlchemy Core.

Writers say so when they begin (`BEGIN IMMEDIATE`): a deferred transaction that later writes fails at once under
contention, whatever the timeout. Readers get a snapshot and wait for nobody.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

from overread.core.errors import Misconfigured, StoreUnavailable

metadata = MetaData()
"""Every room declares its tables here; migrations are checked against it."""

BUSY_SECONDS = 30


class Store:
    """Transactions on one database.

    Args:
        url: an SQLAlchemy URL, `sqlite:////absolute/path.db`.

    Raises:
        Misconfigured: the URL names a database that this version does not run on.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith("sqlite:"):
            raise Misconfigured(f"store: {url.split(':', 1)[0]!r} is not supported; use sqlite:////path/overread.db")
        self.url = url
        self.engine: Engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "begin", _begin)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One short transaction that may write; commits on a clean exit. Compute nothing inside it.

        Raises:
            StoreUnavailable: the lock was not to be had within 30 s, or the disk is full; nothing was written.
        """
        try:
            with self.engine.connect() as connection, connection.begin():
                yield connection
        except OperationalError as error:
            raise StoreUnavailable(f"the database did not take the transaction: {error.orig}") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent snapshot; writes inside it are a mistake and fail."""
        try:
            with self.engine.connect().execution_options(reading=True) as connection, connection.begin():
                yield connection
        except OperationalError as error:
            raise StoreUnavailable(f"the database did not answer: {error.orig}") from error

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()


def upsert(table: Table) -> sqlite.Insert:
    """Return an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return sqlite.insert(table)


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin` does
    cursor = connection.cursor()
    # WAL: readers beside one writer. FULL: a commit is on the disk when it returns.
    _turn_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _turn_to_wal(cursor: sqlite3.Cursor) -> None:
    """Turn a new file to WAL; processes that open it together take turns.

    The change wants the whole file for itself, and SQLite answers "locked" at once, whatever the timeout, when two
    connections that both read want that (https://sqlite.org/c3ref/busy_handler.html): so asking again is ours to do.
    """
    patience = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if reading else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


__all__ = ["OperationalError", "Store", "metadata", "upsert"]
