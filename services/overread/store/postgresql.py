"""PostgreSQL: many machines, one server; the driver is psycopg 3 (`overread[postgresql]`).

A writer's first statement takes a lock that every writer takes, and keeps it to the end of its transaction. READ
COMMITTED lets each later statement see what the writer before it has committed; under REPEATABLE READ the snapshot
would be older than the turn. The server lets go of the lock after it has made the commit visible, so ids that are
drawn inside the turn rise in the order in which readers see them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError

from overread.core.errors import Misconfigured

TURN = int.from_bytes(b"overread")
"""The key of the lock. Locks of this kind belong to one database of a server, so houses do not meet."""
WAIT_SECONDS = 30
"""For the turn. A writer that says nothing for as long is ended by the server: a room that hangs blocks nobody."""

READING: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""Execution options of a transaction that only reads."""

# What libpq adds where the URL and the environment say nothing. The server looks for us too, or a machine that lost its
# power would keep the turn until TCP gives up, which takes hours.
PATIENCE = {"connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
CONFIGURE = f"""
    SET timezone = 'UTC';
    SET lock_timeout = '{WAIT_SECONDS}s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
TAKE_TURN = f"""
    SET LOCAL idle_in_transaction_session_timeout = '{WAIT_SECONDS}s';
    SELECT pg_advisory_xact_lock({TURN})
"""

UNKNOWN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|(role|database) .* does not exist|not permitted"
)
"""libpq hands on what the server says when it lets nobody in, without the code. A server that speaks another language
than English is taken to be away; what it says is shown all the same."""


READ_ONLY_OR_IDLE = {"25006", "25P03"}
"""A server that was demoted, and one that ended our silence: both may be mended by the next try."""


def connect(url: URL) -> Engine:
    """Return an engine that keeps the rules of engine.py.

    Raises:
        Misconfigured: the driver is not installed.
    """
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg").update_query_dict({**PATIENCE, **url.query}),
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            execution_options={
                "preserve_rowcount": True
            },  # else -1 after an INSERT: psycopg forgets it with the cursor
            hide_parameters=True,
        )
    except ModuleNotFoundError as error:
        raise Misconfigured(
            "store_url: PostgreSQL needs psycopg, which the base installation leaves out: "
            "pip install 'overread[postgresql]'"
        ) from error
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def reason(context: ExceptionContext) -> str | Exception | None:
    """Return why the database is not to be had, or a better error; None where the error is the statement's own.

    Only the first line of what the server says: those behind it may quote a row.
    """
    error, entering = context.original_exception, context.connection is None
    said, state = str(error).partition("\n")[0], getattr(error, "sqlstate", None) or ""
    outage = isinstance(error, context.dialect.loaded_dbapi.OperationalError)
    if state == "42501" or (entering and (UNKNOWN.search(said) or not outage)):
        return Misconfigured(said)
    if state == "55P03":
        return f"other writers kept the turn for {WAIT_SECONDS} s"
    if state.startswith("54"):  # a value that is too large for an index is no outage, though psycopg counts it as one
        return DataError(context.statement, None, error, hide_parameters=True)
    return said if outage or context.is_disconnect or state in READ_ONLY_OR_IDLE else None


def now(tx: Connection) -> float:
    """Return seconds since the epoch by the server's clock: the machines' own may be an hour apart."""
    return float(tx.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())


def _configure(connection: Any, _record: object) -> None:
    connection.adapters.register_dumper(str, _text_without_nul())
    connection.execute(CONFIGURE)
    connection.commit()


@cache
def _text_without_nul() -> type:
    from psycopg.types.string import StrDumperUnknown  # noqa: PLC0415 - an extra, which a house on SQLite has not

    class TextWithoutNul(StrDumperUnknown):
        """PostgreSQL's text has no NUL. What somebody sends with one must become a dead letter, not stop a room."""

        def dump(self, obj: str) -> Any:
            """Return what is sent."""
            return super().dump(obj.replace("\0", "\ufffd"))

    return TextWithoutNul


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("reading", False):
        connection.exec_driver_sql(TAKE_TURN)
