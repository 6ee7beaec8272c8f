"""What all tests share: no network, real parts or a plain reason, a fresh database, the reference data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import parts
from overread.store.engine import Store, metadata

REPO = Path(__file__).resolve().parent.parent
SERVICES = REPO / "services"

pytest_plugins = ["brokers", "console", "databases"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.disable_socket = True
    config.option.allow_unix_socket = True  # asyncio wakes its own loop through a pair of them
    # Starlette prefers another client than the one that the project uses anyway.
    config.addinivalue_line("filterwarnings", "ignore:Using .httpx. with .starlette.testclient. is deprecated")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("part"):
        reason = parts.absent(mark.args[0])
        if reason is None:
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A database of its own, with every room's tables."""
    for tables in sorted(SERVICES.glob("overread/*/tables.py")):
        import_module(f"overread.{tables.parent.name}.tables")
    opened = Store(f"sqlite:///{tmp_path}/overread.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a house under some settings; it is closed with the test."""
    from overread import config  # noqa: PLC0415 - two seconds that most tests need not wait
    from overread.house import House  # noqa: PLC0415

    opened: list[House] = []

    def open_one(**settings: object) -> House:
        opened.append(House(config.load(data=tmp_path / "house", **settings)))
        return opened[-1]

    yield open_one
    for house in opened:
        house.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data: read where it is, never copied into the project."""
    folder = Path(os.environ.get("OVERREAD_SHARED") or REPO.parent / "shared")
    if not folder.is_dir():
        pytest.skip("the reference data is not here; name its folder in OVERREAD_SHARED")
    return folder
