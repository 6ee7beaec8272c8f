"""Both databases for the tests of the store, the worker and the relay: `house` and `empty` run a test once on each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from overread.core.errors import Misconfigured
from overread.house import declare_tables
from overread.simulation.broker import free_ports
from overread.simulation.postgres import NAME, Server, programs
from overread.store.engine import Store, metadata

BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.network))
_numbers = count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A real server for the whole session; its first database has every room's tables."""
    try:
        programs()
    except Misconfigured as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    # Not in pytest's own folder: where we are root, the server's user could not go there.
    with (
        tempfile.TemporaryDirectory(prefix="overread-postgresql-") as folder,
        Server(
            Path(folder),
            free_ports(1)[0],
            {"fsync": "off"},  # kill -9 spares the page cache: no test could tell
        ) as server,
    ):
        create_tables(server.url())
        yield server


def create_tables(url: str) -> None:
    """Make every room's tables."""
    declare_tables()
    store = Store(url)
    metadata.create_all(store.engine)
    store.close()


@pytest.fixture
def fresh_postgresql(postgresql: Server) -> str:
    """The URL of a database on PostgreSQL with every room's tables."""
    return postgresql.create(f"test_{next(_numbers)}", NAME)


@pytest.fixture(params=BOTH)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with every room's tables."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgresql"))
    url = f"sqlite:///{tmp_path}/overread.db"
    create_tables(url)
    return url


@pytest.fixture(params=BOTH)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        return server.create(f"test_{next(_numbers)}")
    return f"sqlite:///{tmp_path}/overread.db"


def opened(url: str) -> Iterator[Store]:
    """For a `store` fixture: open the house, and close it after the test."""
    store = Store(url)
    yield store
    store.close()
