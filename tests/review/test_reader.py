"""The simulated radiologist against the real server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overread.core.errors import Misconfigured
from overread.core.pseudonyms import Pseudonyms
from overread.review import tables
from overread.review.server import ReviewServer
from overread.simulation import reader

pytestmark = pytest.mark.network

KEY = Pseudonyms(b"k" * 32)
HEADER = "study_uid,sop_uid,frame,x,y,radius_px,label\n"


@pytest.fixture
def url(room: Any) -> Iterator[str]:
    server = ReviewServer(room.app, "127.0.0.1", 0)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.close()


def series(room: Any, name: str, uids: list[str]) -> str:
    """A series whose instances the truth can name."""
    key = room.slices.make(name, slices=len(uids))
    manifest = room.slices.manifest(key)
    named = [
        part.model_copy(update={"instance": KEY.instance(uid)}) for part, uid in zip(manifest.slices, uids, strict=True)
    ]
    answer: str = room.slices.blobs.put(manifest.model_copy(update={"slices": tuple(named)}).model_dump_json().encode())
    return answer


@pytest.fixture
def study(room: Any, tmp_path: Path) -> Path:
    """One study: lesion A (slices 1, 2) with candidates on it, lesion B (slices 4, 5) with none, and others."""
    key = series(room, "sim", [f"1.2.{number}" for number in range(6)])
    where = {
        "hit": (20.0, 20.0, 1),
        "off": (24.0, 20.0, 2),
        "miss": (60.0, 50.0, 1),
        "other": (20.0, 20.0, 3),
        "near": (41.0, 41.0, 2),
    }
    for rank, (candidate, (x, y, number)) in enumerate(where.items()):
        room.receive(candidate, study=KEY.study("1.1"), place={"series": key, "slice": number, "x": x, "y": y})
        room.ask(candidate, rank, study=KEY.study("1.1"))
    room.receive("alien", study="s-alien", patient="p-2")
    room.ask("alien", 0, study="s-alien")
    truth = tmp_path / "truth.csv"
    rows = ["1.1,1.2.1,0,20,20,6,1", "1.1,1.2.2,0,20,20,5,1", "1.1,1.2.4,0,70,10,5,1", "1.1,1.2.5,0,71,10,4,1"]
    # A lesion and a spot that is none, close together: the nearer one was meant.
    rows += ["1.1,1.2.2,0,44,44,8,1", "1.1,1.2.2,0,41,41,8,0"]
    truth.write_text(HEADER + "\n".join(rows) + "\n")
    return truth


def verdicts(room: Any) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for row in sorted(room.rows(tables.verdicts), key=lambda row: (row["candidate"], row["version"])):
        said.setdefault(row["candidate"], []).append(row["verdict"])
    return said


def test_it_reads_by_the_truth(room: Any, url: str, study: Path, tmp_path: Path) -> None:
    record = tmp_path / "answered.jsonl"
    heard: list[str] = []
    counts = reader.read(url, study, KEY, amend_over_px=2.0, record=record, idle_seconds=0.2, on_progress=heard.append)
    assert counts == reader.Counts(confirmed=1, amended=1, rejected=3, added=1)
    said = verdicts(room)
    added = next(candidate for candidate in said if candidate.startswith("a-"))
    assert said == {
        "hit": ["confirmed"],
        "off": ["amended"],
        "miss": ["rejected"],
        "other": ["rejected"],
        "near": ["rejected"],
        added: ["added"],
    }
    assert room.get("candidates/off")["place"]["x"] == 20
    assert (room.get(f"candidates/{added}")["place"]["slice"], room.get(f"candidates/{added}")["place"]["x"]) == (4, 70)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert {line["key"] for line in lines} == {row["correction"] for row in room.rows(tables.verdicts)}
    assert len(heard) == len(lines) == 6
    # A second reader of the same truth finds nothing to do, and adds nothing twice.
    assert reader.read(url, study, KEY, idle_seconds=0.0) == reader.Counts()


def test_a_second_run_adds_nothing_twice(room: Any, url: str, study: Path) -> None:
    reader.read(url, study, KEY, idle_seconds=0.0)
    key = room.get("candidates/hit")["place"]["series"]
    room.receive("new", study=KEY.study("1.1"), place={"series": key, "slice": 0})
    room.ask("new", 0, study=KEY.study("1.1"))
    assert reader.read(url, study, KEY, idle_seconds=0.0) == reader.Counts(rejected=1)


def test_errors_are_made_noticed_and_the_same_for_the_same_seed(room: Any, url: str, tmp_path: Path) -> None:
    key = series(room, "many", ["2.1"])
    truth = tmp_path / "truth.csv"
    truth.write_text(HEADER + "2,2.1,0,20,20,6,1\n2,2.1,0,60,50,6,0\n")
    for number in range(60):
        x, y = (20.0, 20.0) if number % 2 else (60.0, 50.0)
        study = KEY.study("2")
        room.receive(f"c-{number}", study=study, place={"series": key, "slice": 0, "x": x, "y": y})
        room.ask(f"c-{number}", number, study=study)
    limited = reader.read(url, truth, KEY, error_rate=0.5, unsure_rate=0.2, seed=7, limit=10)
    assert sum(limited[:5]) - limited.withdrawn <= 10 + limited.withdrawn
    counts = reader.read(url, truth, KEY, error_rate=0.5, unsure_rate=0.2, seed=7, idle_seconds=0.0)
    assert counts.unsure > 2
    assert counts.withdrawn > 2
    assert counts.refused == counts.stale == 0
    assert room.get("worklist")["items"] == []
    said = verdicts(room)
    for number in range(60):
        right = "confirmed" if number % 2 else "rejected"
        wrong = "rejected" if number % 2 else "confirmed"
        assert said[f"c-{number}"] in ([right], [wrong], ["unsure"], [wrong, "withdrawn", right])


def test_it_waits_for_a_server_that_comes_back_and_stops_when_told(room: Any, study: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    stop, found = threading.Event(), []
    thread = threading.Thread(
        target=lambda: found.append(reader.read(f"http://127.0.0.1:{port}", study, KEY, idle_seconds=60, stop=stop))
    )
    thread.start()
    time.sleep(0.3)
    server = ReviewServer(room.app, "127.0.0.1", port)
    server.start()
    deadline = time.monotonic() + 20
    while len(room.rows(tables.verdicts)) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    server.close()  # away again: a reader who is told to stop does not wait for it
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert sum(found[0]) == 6


def test_another_reader_s_answer_is_no_end(room: Any, url: str, study: Path, monkeypatch: Any) -> None:
    work = reader._Radiologist._say

    def beaten(self: Any, item: dict[str, Any], version: int, *more: Any) -> int | None:
        if item["candidate"] == "hit":
            room.post("hit", "unsure", version, study=item["study"], reader="other")
        return work(self, item, version, *more)

    monkeypatch.setattr(reader._Radiologist, "_say", beaten)
    counts = reader.read(url, study, KEY, idle_seconds=0.0)
    assert (counts.stale, counts.confirmed + counts.amended + counts.rejected) == (1, 4)


def test_a_truth_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    bad = tmp_path / "truth.csv"
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(Misconfigured, match="study_uid"):
        reader.read("http://127.0.0.1:1", bad, KEY)
    with pytest.raises(Misconfigured):
        reader.read("http://127.0.0.1:1", tmp_path / "none.csv", KEY)


def test_a_taken_port_is_said_to_be(room: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Misconfigured, match="port"):
        ReviewServer(room.app, "127.0.0.1", taken.getsockname()[1]).start()
