"""`overread up` on a real broker and a real PostgreSQL: one command in, a study through every room, a clean end."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, make_url, select

from brokers import MARKS
from cli.test_up import House
from overread import config
from overread.bus.kafka_client import Access
from overread.bus.kafka_topics import Operator
from overread.cli import supervisor
from overread.simulation import phantoms
from overread.simulation.broker import Cluster, free_ports
from overread.simulation.postgres import Server
from overread.store.engine import Store
from overread.store.tables import leases
from overread.topology import DEAD_LETTERS, TOPICS, rooms

pytestmark = MARKS


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A new one: `up` has to make the topics."""
    with Cluster(tmp_path / "kafka") as made:
        yield made


class OnServers(House):
    """A house whose bus and store are named to `up` by flags, and to other commands by settings."""

    def __init__(self, folder: Path, bus: str, store: URL) -> None:
        super().__init__(folder)
        self.url = store.render_as_string()
        self.store = store.set(query={}).render_as_string()
        self.password = Path(str(store.query["passfile"])).read_text().strip().rpartition(":")[2]
        self.options += ["--bus", bus, "--store", self.store]
        self._settings = ("--set", f"bus_url={bus}", "--set", f"store_url={self.store}")

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PGPASSWORD": self.password}

    def status(self, *arguments: str) -> str:
        said = self.run(*self._settings, "status", *arguments)
        assert said.returncode == 0, said.stderr
        return said.stdout


@pytest.fixture
def house(tmp_path: Path, cluster: Cluster, postgresql: Server) -> OnServers:
    return OnServers(tmp_path, cluster.url, make_url(postgresql.create("up")))


def wait(house: OnServers, what: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 180
    while not until(facts := json.loads(house.status("--json"))):
        assert time.monotonic() < deadline, f"{what}: {facts}"
        time.sleep(0.5)
    return facts


def test_a_new_house_on_kafka_and_postgresql_is_one_command(house: OnServers, cluster: Cluster, tmp_path: Path) -> None:
    process = house.up()
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["port"]
        with Operator(Access.from_url(cluster.url)) as operator:
            assert operator.differences(operator.shapes(TOPICS | DEAD_LETTERS)) == []
        facts = wait(house, "not ready", lambda facts: {room["state"] for room in facts["rooms"]} == {"ready"})
        assert [room["room"] for room in facts["rooms"]] == list(rooms(cluster.url))
        phantoms.generate(tmp_path / "study", studies=1, seed=3, on_progress=lambda *_: None)
        sent = house.run("send", str(tmp_path / "study"), "--port", str(port))
        assert sent.returncode == 0, sent.stderr

        def through(facts: dict[str, Any]) -> bool:
            waiting = [facts["relay"]["unsent"], *(room["behind"] for room in facts["rooms"])]
            return facts["inference"]["scored"] > 0 and not any(waiting)

        facts = wait(house, "the study does not come through", through)
        assert facts["problems"] == []
        assert facts["relay"]["refused"] == 0
        table = house.status()
        assert all(word in table for word in ("relay", "unsent", "behind"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    store = Store(house.url)
    with store.reading() as tx:
        assert tx.execute(select(leases)).all() == [], "the next relay begins at once"
    store.close()
    written = [*(house.data / "run").iterdir(), tmp_path / "stderr"]
    assert not [path for path in written if house.password in path.read_text()]


def test_a_bus_that_is_away_stops_nobody_from_sending_pixels(tmp_path: Path) -> None:
    house = House(tmp_path)
    (port,) = free_ports(1)
    bus = f"bus_url=kafka://127.0.0.1:{port}"
    command = house.command("--set", bus, "--set", "gateway.port=0", "run", "gateway")
    with (tmp_path / "stderr").open("w") as errors:
        process = subprocess.Popen(command, stderr=errors, env=house.environment())
    try:
        file = house.data / "run" / "gateway.json"
        deadline = time.monotonic() + 180
        while not file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        phantoms.generate(tmp_path / "study", studies=1, seed=3, on_progress=lambda *_: None)
        sent = house.run("send", str(tmp_path / "study"), "--port", str(json.loads(file.read_text())["port"]))
        assert sent.returncode == 0, sent.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines()]
    assert any("ECONNREFUSED" in line.get("reason", "") for line in lines)
    assert not [line for line in lines if line["logger"].startswith("kafka")], "our own lines say it, and seldom"


def test_up_begins_while_the_bus_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    supervisor._make_topics(config.load(data=tmp_path, bus_url=f"kafka://127.0.0.1:{port}"))
    (said,) = [record for record in caplog.records if record.name == supervisor.__name__]
    assert f"127.0.0.1:{port} let us not in" in said.__dict__["reason"]
