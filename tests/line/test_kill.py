"""All processes are killed with SIGKILL at ten random moments of the line; nothing accepted is lost or doubled."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from line.hospital import cleared_serves
from overread.core import events
from overread.simulation.accounts import log, reconcile

pytestmark = pytest.mark.network

KILLS = 10


def test_ten_kills_lose_nothing_and_double_nothing(hospital: Callable[[int], Any]) -> None:
    moments = random.Random()  # noqa: S311 - any moment will do, and not the same ones each time
    line = hospital(36)
    line.start()
    sender, reader = line.send(), line.read()
    for _ in range(KILLS):
        deadline = time.monotonic() + moments.uniform(0.5, 9.0)
        while time.monotonic() < deadline:
            line.sign()
            time.sleep(0.2)
        line.kill()
        line.start()
        # A client whose peer died starts again, as a PACS and a browser do; what was answered is on its own list.
        if sender.poll() not in {None, 0}:
            sender = line.send()
        if reader.poll() is not None:
            reader = line.read()
    while sender.wait(180) != 0:
        sender = line.send()
    facts = line.wait_for("a cleared champion serves", cleared_serves)

    accounts = reconcile(line.house, line.sent, line.answered)
    assert accounts.instances == len(list(line.studies.rglob("*.dcm")))
    assert accounts.corrections > 0
    assert accounts.lost == 0
    assert accounts.duplicated == 0
    house = line.house
    candidates = [e.candidate for e in log(house, events.CANDIDATES) if isinstance(e, events.CandidateReceived)]
    assert len(candidates) == len(set(candidates)), "a candidate was announced twice"
    rounds = [e.round for e in log(house, events.LIFECYCLE) if isinstance(e, events.ChallengerRegistered)]
    assert len(rounds) == len(set(rounds)), "a round was registered twice"
    assert not [row for row in facts["trainer"]["rounds"] if row["state"] == "registered" and not row["version"]]
