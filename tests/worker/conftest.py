from __future__ import annotations

from collections.abc import Iterator

import pytest

from databases import opened
from overread.store.engine import Store


@pytest.fixture
def store(house: str) -> Iterator[Store]:
    """A database of its own, with every room's tables, on SQLite and on PostgreSQL."""
    yield from opened(house)
