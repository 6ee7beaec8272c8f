"""A hospital in miniature: phantoms, one data directory, and `overread` as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from overread import config
from overread.core.clock import utc_now
from overread.core.errors import GateFailed, StoreUnavailable
from overread.house import House
from overread.rollout import signoff
from overread.simulation import phantoms
from overread.status import collect

PROTOCOL = {
    "version": 1,
    "alpha": 0.05,
    "margin": 0.03,
    "minimum": {"patients": 3, "positives": 4, "negatives": 4, "read_share": 0.9},
    "first_clearance": {"auc_above": 0.5},
    "signoff": {"required": 1},
}


class Hospital:
    """Starts, kills and watches `overread up`; sends and reads as clients would."""

    def __init__(self, folder: Path, studies: int) -> None:
        self.folder = folder
        self.studies = folder / "studies"
        self.truth = phantoms.generate(self.studies, studies=studies, seed=3, on_progress=lambda *_: None)
        self.sent, self.answered = folder / "sent.jsonl", folder / "answered.jsonl"
        protocol = folder / "protocol.yaml"
        protocol.write_text(yaml.safe_dump(PROTOCOL))
        self.dicom, self.page = _free_port(), _free_port()
        self.file = folder / "overread.yaml"
        self.file.write_text(
            yaml.safe_dump(
                {
                    "data": str(folder / "house"),
                    "health_port": 0,
                    "blobs_reserve_mb": 1,
                    "tracing": {"exporter": "console"},
                    "locked_share": 0.3,
                    "gateway": {"port": self.dicom},
                    "review": {"port": self.page},
                    "candidates": {"settle_seconds": 2.0},
                    "trainer": {"budget": 40, "audit": 2, "epochs": 16, "least_labels": 20},
                    "rollout": {"protocol": str(protocol)},
                }
            )
        )
        (folder / "house").mkdir()
        (folder / "house" / "pseudonyms.key").write_bytes(b"a key that makes the split the same." * 2)
        self._children: list[subprocess.Popen[bytes]] = []
        self.up: subprocess.Popen[bytes] | None = None
        self.house = House(config.load(self.file))

    def start(self) -> None:
        """Start `overread up` and wait until the gateway and the page listen."""
        self.up = self.run("up")
        deadline = time.monotonic() + 90
        for port in (self.dicom, self.page):
            while not _listens(port):
                assert self.up.poll() is None, (self.folder / "log").read_text()[-4000:]
                assert time.monotonic() < deadline, "`overread up` does not listen"
                time.sleep(0.1)

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run an `overread` command beside the test."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "overread", "--config", str(self.file), *arguments],
                stdout=log,
                stderr=log,
                env=environment,
            )
        self._children.append(child)
        return child

    def kill(self) -> None:
        """SIGKILL the supervisor and every room, all at once."""
        assert self.up is not None
        rooms = Path(f"/proc/{self.up.pid}/task/{self.up.pid}/children").read_text().split()
        for pid in (self.up.pid, *map(int, rooms)):
            os.kill(pid, signal.SIGKILL)
        self.up.wait()
        deadline = time.monotonic() + 10
        while any(_alive(int(pid)) for pid in rooms) and time.monotonic() < deadline:
            time.sleep(0.02)

    def send(self) -> subprocess.Popen[bytes]:
        return self.run("send", str(self.studies), "--record", str(self.sent))

    def read(self) -> subprocess.Popen[bytes]:
        return self.run("read", "--simulate", str(self.truth), "--idle", "3600", "--record", str(self.answered))

    def status(self) -> dict[str, Any]:
        return collect(self.house)

    def spans(self) -> list[dict[str, Any]]:
        """Return what the rooms said of themselves by OpenTelemetry so far."""
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"name"')]

    def sign(self) -> None:
        """Sign whatever awaits a signature."""
        for row in self.status()["rollout"]["versions"]:
            if row["state"] == "awaiting_signoff":
                try:
                    with self.house.store.writing() as tx:
                        signoff.sign(tx, row["version"], "demo-policy", time=utc_now())
                except (GateFailed, StoreUnavailable):
                    continue

    def wait_for(self, what: str, happened: Callable[[dict[str, Any]], bool], seconds: float = 240) -> dict[str, Any]:
        """Wait, signing meanwhile, until the status says so."""
        deadline = time.monotonic() + seconds
        while True:
            facts = self.status()
            if happened(facts):
                return facts
            stood = json.dumps(facts, default=str)[:3000]
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s; {stood}"
            self.sign()
            time.sleep(0.5)

    def close(self) -> None:
        for child in reversed(self._children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children:
            try:
                child.wait(40)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.house.close()


def cleared_serves(facts: dict[str, Any]) -> bool:
    """A cleared champion, and inference scores with exactly its bytes."""
    champion, serving = facts["rollout"]["champion"], facts["serving"]
    cleared = facts["rollout"]["cleared_baseline"] is not None
    return bool(cleared and champion and serving and serving["sha256"] == champion["sha256"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
