"""The database that a replay makes: it is whole, or it is not there, so that the replay can be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from overread.core.errors import OverreadError

if TYPE_CHECKING:
    from overread.store.engine import Store


@contextmanager
def rebuilt(into: str) -> Iterator[Store]:
    """Make a fresh database for what is done with it, and take back what we made where that fails.

    Args:
        into: as `overread.replay.fresh` takes it.

    Raises:
        Misconfigured: something is there already; it is left as it is.
    """
    from overread.replay import fresh

    file = _file(into)
    with ExitStack() as undo:  # Ctrl-C undoes it, too
        made = file is not None and not file.exists()
        if file is not None and made:
            undo.callback(_remove, file)
        target = fresh(into)
        if not made:
            undo.callback(_drop, target)
        with closing(target):
            yield target
        undo.pop_all()


def _file(into: str) -> Path | None:
    """Return where SQLite puts it; None for a server, and for what is no database."""
    if "://" not in into:
        return Path(into).resolve()
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    with suppress(ArgumentError, ValueError):
        url = make_url(into)
        if url.drivername == "sqlite" and url.database:
            return Path(url.database)
    return None


def _remove(file: Path) -> None:
    for beside in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + beside).unlink(missing_ok=True)


def _drop(target: Store) -> None:
    """Drop our own tables: the database had none, and what else is in it is not ours."""
    from sqlalchemy import MetaData, Table

    from overread.store.engine import metadata

    with suppress(OverreadError), target.writing() as tx:  # what failed first says more
        metadata.drop_all(tx)
        Table("alembic_version", MetaData()).drop(tx, checkfirst=True)
    target.close()
