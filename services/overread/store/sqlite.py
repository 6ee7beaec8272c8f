"""SQLite: one machine, one file; WAL mode with `synchronous=FULL`.

Writers say so when they begin (`BEGIN IMMEDIATE`): a deferred transaction that later writes fails at once under
contention, whatever the timeout.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import URL, Connection, DateTime, Dialect, Engine, create_engine, event
from sqlalchemy.dialects import sqlite as sqlite_types
from sqlalchemy.engine import ExceptionContext

BUSY_SECONDS = 30

READING: dict[str, Any] = {}
"""Execution options of a transaction that only reads."""


def connect(url: URL) -> Engine:
    """Return an engine that keeps the rules of engine.py."""
    arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, hide_parameters=True)
    engine.dialect.colspecs = {**engine.dialect.colspecs, DateTime: _Moment}
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def reason(context: ExceptionContext) -> str | None:
    """Return why the database is not to be had; None where the error is the statement's own."""
    error = context.original_exception
    return str(error) if isinstance(error, sqlite3.OperationalError) else None


def now(_tx: Connection) -> float:
    """Return seconds since the epoch, by the one clock that there is."""
    return time.time()


class _Moment(sqlite_types.DATETIME):
    """SQLite keeps no zone: what goes in is turned to UTC, and what comes out is UTC, as on PostgreSQL."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        write: Any = super().bind_processor(dialect)
        return lambda time: write(time.astimezone(UTC) if time and time.tzinfo else time)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        read: Any = super().result_processor(dialect, coltype)
        return lambda text: None if text is None else read(text).replace(tzinfo=UTC)


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
