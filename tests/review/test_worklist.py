"""What waits, in which order, in whatever order events come."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from overread.core.events import Purpose, ReadRequested, StudyPurged
from overread.review import tables

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_purposes_take_turns_and_an_earlier_round_comes_first(room: Any) -> None:
    for number in range(7):
        room.receive(f"c-{number}")
    room.ask("c-0", 1)
    room.ask("c-1", 0, round=2)
    room.ask("c-2", 0)
    room.ask("c-3", 0, Purpose.AUDIT)
    room.ask("c-4", 1, Purpose.REFERENCE)
    room.ask("c-5", 0, Purpose.REFERENCE)
    assert room.waiting() == ["c-2", "c-1", "c-5", "c-3", "c-0", "c-4"]
    assert room.get("worklist")["remaining"] == {"acquisition": 3, "reference": 2, "audit": 1}
    chosen = room.get("worklist?purpose=reference&limit=1")["items"]
    assert [item["candidate"] for item in chosen] == ["c-5"]


def test_a_candidate_asked_for_twice_stands_once_and_one_answer_closes_both(room: Any) -> None:
    room.receive("c-1")
    room.ask("c-1", 3, Purpose.AUDIT)
    room.ask("c-1", 5)
    room.ask("c-1", 5)
    assert [(item["purpose"], item["rank"]) for item in room.get("worklist")["items"]] == [("audit", 3)]
    room.post("c-1", "unsure")
    assert room.waiting() == []
    room.ask("c-1", 0, round=2)
    assert room.waiting() == []


def test_undo_opens_again_what_was_asked_for(room: Any) -> None:
    room.receive("c-1")
    room.receive("c-2")
    room.ask("c-1")
    for candidate in ("c-1", "c-2"):
        room.post(candidate, "confirmed")
        room.post(candidate, "withdrawn", 1)
    assert room.waiting() == ["c-1"]
    room.ask("c-2")
    assert room.waiting() == ["c-1", "c-2"]


def test_another_reader_s_word_keeps_a_read_closed(room: Any) -> None:
    room.receive("c-1")
    room.ask("c-1")
    room.post("c-1", "confirmed", 0, reader="a")
    room.post("c-1", "confirmed", 1, reader="b")
    room.post("c-1", "withdrawn", 2, reader="a")
    assert room.waiting() == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order_of_topics_ends_alike(room: Any, order: tuple[int, ...]) -> None:
    acts = (lambda: room.receive("c-1"), lambda: room.score("c-1", 0.75), lambda: room.ask("c-1", 4))
    for number in order:
        acts[number]()
    (item,) = room.get("worklist")["items"]
    assert item == {
        "candidate": "c-1",
        "study": "s-1",
        "purpose": "acquisition",
        "round": 1,
        "rank": 4,
        "version": 0,
        "place": {"series": room.series, "slice": 2, "x": 30.0, "y": 20.0},
        "score": 0.75,
        "model_cleared": True,
    }


def test_what_has_no_candidate_yet_is_shown_nowhere(room: Any) -> None:
    room.score("c-1", 0.5)
    room.ask("c-1")
    assert room.get("worklist") == {"items": [], "remaining": {"acquisition": 0, "reference": 0, "audit": 0}}
    assert room.client.get("/api/v1/candidates/c-1").status_code == 404
    assert room.client.get("/api/v1/studies/s-1").status_code == 404
    assert room.post("c-1", "confirmed").status_code == 404


def test_scores_of_a_model_that_is_not_cleared_are_kept_back(room: Any) -> None:
    room.receive("c-1")
    room.ask("c-1")
    room.score("c-1", 0.5, cleared=False)
    (item,) = room.get("worklist")["items"]
    assert (item["score"], item["model_cleared"]) == (None, False)
    candidate = room.get("candidates/c-1")
    assert (candidate["score"], candidate["model_cleared"]) == (None, False)
    assert room.get("status")["model"] == {"version": 1, "sha256": f"{1:064x}", "cleared": False}


def test_the_score_that_was_said_last_stands(room: Any) -> None:
    room.receive("c-1")
    room.score("c-1", 0.2, version=2, time=NOON)
    room.score("c-1", 0.1, version=1, time=NOON - timedelta(seconds=1))  # delivered late
    assert room.get("candidates/c-1")["score"] == 0.2
    assert room.get("status")["model"]["version"] == 2
    # Version 2 was rolled back: the restored version scores again.
    room.score("c-1", 0.1, version=1, time=NOON + timedelta(seconds=1))
    assert room.get("candidates/c-1")["score"] == 0.1
    assert room.get("status")["model"]["version"] == 1


def test_forgetting_one_study_leaves_the_others(room: Any) -> None:
    room.receive("c-1")
    room.receive("c-2", study="s-2", patient="p-2")
    room.ask("c-1")
    room.hear(ReadRequested(candidate="c-2", study="s-2", purpose=Purpose.AUDIT, round=1, rank=0))
    room.hear(StudyPurged(study="s-1"))
    assert room.waiting() == ["c-2"]
    assert [row["study"] for row in room.rows(tables.candidates)] == ["s-2"]
    room.receive("c-1")  # sent again later: as new
    assert room.get("candidates/c-1")["version"] == 0


def test_a_candidate_announced_again_keeps_what_readers_said(room: Any) -> None:
    room.receive("c-1")
    room.post("c-1", "amended", place=room.place(x=40.0))
    room.receive("c-1", place={"x": 31.0})
    candidate = room.get("candidates/c-1")
    assert (candidate["place"]["x"], candidate["version"]) == (40.0, 1)
    room.post("c-1", "withdrawn", 1)
    assert room.get("candidates/c-1")["place"]["x"] == 31.0
