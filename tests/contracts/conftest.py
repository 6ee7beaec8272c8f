from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.adapters import ADAPTERS, Adapter
from contracts.child import PARTITIONS
from overread.bus.port import Bus


@pytest.fixture(params=sorted(ADAPTERS))
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Adapter]:
    """A broker that nobody has started yet."""
    adapter: Adapter = ADAPTERS[request.param](tmp_path)
    yield adapter
    adapter.close()


@pytest.fixture
def topic() -> str:
    """A topic that no other test knows."""
    return f"contract-{uuid4().hex[:12]}"


@pytest.fixture
def bus(broker: Adapter, topic: str) -> Iterator[Bus]:
    """A connection to a broker that answers."""
    broker.start()
    connected = broker.connect({topic: PARTITIONS})
    yield connected
    connected.close()
