"""The demo's servers: what fits together, and that nothing is left running."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from brokers import MARKS
from overread.core.errors import Misconfigured
from overread.simulation.processes import start_servers


def test_postgresql_without_a_cluster_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with ExitStack() as servers, pytest.raises(Misconfigured, match="BUS=kafka"):
        start_servers("embedded", "postgresql", tmp_path, servers)
    assert not list(tmp_path.iterdir())


def test_without_servers_there_is_nothing_to_start(tmp_path: Path) -> None:
    with ExitStack() as servers:
        assert start_servers("embedded", "sqlite", tmp_path, servers) == {}


def running(folder: Path) -> list[str]:
    """Processes that speak of the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


class TestInterrupted:
    pytestmark = MARKS

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_all_that_was_started_is_stopped(self, tmp_path: Path, number: signal.Signals) -> None:
        out = tmp_path / "demo"
        command = [sys.executable, "-m", "overread.simulation.demo", "--bus", "kafka", "--out", str(out)]
        demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        try:
            while not any("kafka.Kafka" in line for line in running(out)):
                assert time.monotonic() < deadline, "no broker was started"
                assert demo.poll() is None, demo.communicate()
                time.sleep(0.1)
            demo.send_signal(number)
            _, said = demo.communicate(timeout=120)
        finally:
            demo.kill()
        assert demo.returncode == 130, said
        assert running(out) == []
