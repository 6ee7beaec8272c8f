from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from brokers import MARKS
from contracts.adapters import Adapter, Embedded, Kafka
from contracts.child import PARTITIONS
from overread.bus.port import Bus

ADAPTERS = ("embedded", "kafka")
NEEDS = {"kafka": MARKS}


@pytest.fixture(params=[pytest.param(name, marks=NEEDS.get(name, [])) for name in ADAPTERS])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Adapter]:
    """A broker that this test has not started yet."""
    kafka = request.param == "kafka"
    adapter: Adapter = Kafka(request.getfixturevalue("cluster"), tmp_path) if kafka else Embedded(tmp_path)
    yield adapter
    adapter.close()


@pytest.fixture
def topic() -> str:
    """A topic that no other test knows. The names of groups begin with it: brokers outlive tests."""
    return f"contract-{uuid4().hex[:12]}"


@pytest.fixture
def bus(broker: Adapter, topic: str) -> Iterator[Bus]:
    """A connection to a broker that answers."""
    broker.start()
    connected = broker.connect({topic: PARTITIONS, f"{topic}.dlq": 1})
    yield connected
    connected.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what held over each adapter: the contract is one only where the counts are equal."""
    counts = Counter(
        f"{adapter}: {outcome}"
        for outcome in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.stats.get(outcome, [])
        for adapter in ADAPTERS
        if f"[{adapter}" in report.nodeid and "contracts/" in report.nodeid
    )
    for line, count in sorted(counts.items()):
        terminalreporter.write_line(f"contract of the bus over {line} {count}")
