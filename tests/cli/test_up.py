"""`overread up` as real processes: they listen, a second one on the same data is refused, and they end cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from overread import topology
from overread.pacs import dimse
from overread_learn.nets import build

pytestmark = pytest.mark.network


class House:
    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        weights = folder / "weights.pth"
        torch.save(build("squeezenet1_1", 2, None, 5).net.state_dict(), weights)  # no test downloads anything
        self.options = ["--port", "0", "--page-port", "0", "--weights", str(weights), "--json"]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "overread", "--data", str(self.data), "--set", "health_port=0", *arguments]

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}

    def up(self) -> subprocess.Popen[str]:
        with (self.data.parent / "stderr").open("a") as errors:
            return subprocess.Popen(
                self.command("up", *self.options),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self.environment(),
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self.environment(),
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def running(house: House) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    process = house.up()
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_up_listens_refuses_a_second_one_and_ends_cleanly(
    house: House, running: tuple[subprocess.Popen[str], dict[str, object]]
) -> None:
    process, facts = running
    port = int(str(facts["port"]))
    assert facts["data"] == str(house.data)
    dimse.echo("127.0.0.1", port, called="OVERREAD", calling="TESTS")
    assert httpx.get(str(facts["page"])).status_code == 200
    second = house.run("up", *house.options)
    assert second.returncode == 2
    (line,) = [line for line in second.stderr.splitlines() if "error:" in line]
    assert "another" in line
    assert process.poll() is None, "the second one harmed the first"
    dimse.echo("127.0.0.1", port, called="OVERREAD", calling="TESTS")
    for _ in range(120):
        rooms = json.loads(house.run("status", "--json").stdout)["rooms"]
        if all(room["state"] == "ready" for room in rooms):
            break
        time.sleep(1)
    assert {room["room"]: room["state"] for room in rooms} == dict.fromkeys(topology.rooms(""), "ready")
    # A room started a second time by mistake is refused its port, and leaves the first one's standing alone.
    assert house.run("--set", f"gateway.port={port}", "run", "gateway").returncode == 2
    rooms = json.loads(house.run("status", "--json").stdout)["rooms"]
    assert {room["room"]: room["state"] for room in rooms} == dict.fromkeys(topology.rooms(""), "ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert [file.name for file in (house.data / "run").glob("*.json")] == []
    for line in (house.data.parent / "stderr").read_text().splitlines():
        assert json.loads(line)["room"]


def test_a_room_that_is_killed_is_started_again(
    house: House, running: tuple[subprocess.Popen[str], dict[str, object]]
) -> None:
    del running
    file = house.data / "run" / "gateway.json"
    before = json.loads(file.read_text())
    os.kill(before["pid"], signal.SIGKILL)
    for _ in range(200):
        after = json.loads(file.read_text()) if file.exists() else before
        if after["pid"] != before["pid"]:
            break
        time.sleep(0.1)
    assert after["pid"] != before["pid"]
    dimse.echo("127.0.0.1", after["port"], called="OVERREAD", calling="TESTS")


def test_rooms_do_not_outlive_a_killed_supervisor_and_the_next_up_starts(house: House) -> None:
    first = house.up()
    assert first.stdout is not None
    json.loads(first.stdout.readline())
    pids = [json.loads(file.read_text())["pid"] for file in (house.data / "run").glob("*.json")]
    first.kill()
    first.communicate()
    second = house.up()
    assert second.stdout is not None
    try:
        assert json.loads(second.stdout.readline())["port"]
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    finally:
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=60)
