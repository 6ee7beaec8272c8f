"""The database: SQLite or PostgreSQL, through SQLAlchemy Core.

The rules are the same on both, so no room knows which one it has. Writers take turns, from the first statement to the
commit (docs/adr/0009): what a writer has read stays true until it has written, and ids rise in the order of commits.
Readers get a snapshot and wait for nobody. What differs stands in sqlite.py and postgresql.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection, Engine, MetaData, Table, event, make_url
from sqlalchemy.dialects import postgresql as dialect
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError

from overread.core.errors import Misconfigured, StoreUnavailable
from overread.store import postgresql, sqlite
from overread.store.place import shown

metadata = MetaData()
"""Every room declares its tables here; migrations are checked against it."""

_AFTER = "overread: after the commit"

WORKS = "use sqlite:////path/overread.db or postgresql://user@host/database"


class Store:
    """Transactions on one database. Nothing is opened before the first of them.

    Args:
        url: `sqlite:////absolute/path.db` or `postgresql://user@host:port/database`. A password stands best in
            PGPASSWORD or in the file that PGPASSFILE (or `?passfile=`) names; in the URL it works too, and is never
            shown.

    Raises:
        Misconfigured: the URL names a database that this version does not run on, or whose driver is absent.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):  # what they say may quote the URL, and so a password
            raise Misconfigured(f"store_url: this is no URL of a database; {WORKS}") from None
        backend = {"sqlite": sqlite, "postgresql": postgresql}.get(parsed.drivername)
        if backend is None:
            raise Misconfigured(f"store_url: {parsed.drivername!r} is not supported; {WORKS}")
        self.url, self.place = url, shown(parsed)
        self.engine: Engine = backend.connect(parsed)
        self.now: Callable[[Connection], float] = backend.now
        """Seconds since the epoch, the same for all that share the database."""
        self._reading = {"reading": True, **backend.READING}
        self._reason = backend.reason
        event.listen(self.engine, "handle_error", self._translate, retval=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One short transaction that may write; commits on a clean exit. Compute nothing inside it.

        Raises:
            StoreUnavailable: the turn was not to be had within 30 s, the disk is full, or the server is away. Nothing
                was written; only where the connection broke during the commit itself it may have been.
            Misconfigured: the server knows neither this user nor this database, or gives no right.
        """
        with self.engine.connect() as connection:
            calls: list[Callable[[], None]] = []
            connection.info[_AFTER] = calls
            with connection.begin():
                yield connection
        for call in calls:
            call()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent snapshot; writes inside it are a mistake and fail. Raises as `writing`."""
        with self.engine.connect() as connection:
            connection.execution_options(**self._reading)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()

    def _translate(self, context: ExceptionContext) -> BaseException | None:
        """Turn the driver's errors into ours; one that speaks of a statement or of its values stays as it is."""
        if context.is_pre_ping:
            return None  # a pooled connection has broken meanwhile, and the pool makes another
        error = self._reason(context)
        if isinstance(error, str):
            return StoreUnavailable(f"the database {self.place} did not answer: {error}")
        if isinstance(error, Misconfigured):
            return Misconfigured(f"store_url: {self.place}: {error}")
        return error if isinstance(error, Exception) else None


def after_commit(tx: Connection, call: Callable[[], None]) -> None:
    """Call this once what is being written is committed, never where it comes to nothing: a transaction may come again.

    It is for counters: it must neither fail nor write.
    """
    tx.info[_AFTER].append(call)


@contextmanager
def savepoint(tx: Connection) -> Iterator[None]:
    """Undo what an error leaves half done, and what would have been called after the commit; the error goes on."""
    calls = tx.info[_AFTER]
    kept = len(calls)

    def forget() -> None:
        del calls[kept:]

    with ExitStack() as undo:
        undo.callback(forget)
        with tx.begin_nested():
            yield
        undo.pop_all()


def upsert(table: Table) -> dialect.Insert:
    """Return an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, in both databases' words."""
    return dialect.insert(table)  # SQLite took the clause over from PostgreSQL, and SQLAlchemy compiles it for both


__all__ = ["Store", "after_commit", "metadata", "savepoint", "upsert"]
