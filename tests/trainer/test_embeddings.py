"""Strategies that choose by embeddings: what they see of what is labelled, and what is left where there are none."""

from __future__ import annotations

import base64
import logging
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from inference.words import promoted, purged, received, registered
from overread.core.corrections import Verdict
from overread.core.events import CandidateScored, Purpose, ReadRequested
from overread.store.engine import Store
from overread.trainer import selection
from overread.trainer.selection import STALLED_SECONDS
from overread_learn.acquisition import Pool, Strategy
from overread_learn.acquisition import select as choose
from trainer.test_selection import CHAMPION, Room, scored


class Seen:
    """Every pool that was chosen from, audit samples aside, and by whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pools: list[Pool] = []
        self.by: list[Strategy] = []

        def spy(pool: Pool, by: Any, budget: int, **how: Any) -> Any:
            if by != "random":
                self.pools.append(pool)
                self.by.append(by.now(pool.counts, 2))
            return choose(pool, by, budget, **how)

        monkeypatch.setattr(selection, "choose", spy)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def picks(said: list[ReadRequested]) -> list[ReadRequested]:
    return [one for one in said if one.purpose is Purpose.ACQUISITION]


@pytest.mark.parametrize(
    ("name", "cold", "warm", "draw"),
    [
        ("typiclust:acft", "random:acft", "typiclust:acft", "randomised"),
        ("coreset:entropy@.25~5", "random:entropy@.25~5", "coreset:entropy@.25~5", "randomised"),
        ("typiclust:stratified", "random:stratified", "typiclust:stratified", "stratified"),
        ("coreset:margin^1", "random:margin^1", "coreset:margin^1", "power"),
        ("auto", "auto", "random:entropy@.25", "best"),
        ("typiclust", "random", "random", "random"),
    ],
)
def test_without_embeddings_only_what_chooses_by_them_gives_way_and_the_request_says_to_what(
    store: Store, seen: Seen, caplog: pytest.LogCaptureFixture, name: str, cold: str, warm: str, draw: str
) -> None:
    """An imported champion gives none. What measures and draws without them goes on as it was told to."""
    caplog.set_level(logging.INFO)
    room = Room(store, strategy=name, budget=4, audit=1)
    room.crown()
    room.fill(range(40))
    assert {one.strategy for one in picks(room.select.prepare() or [])} == {cold}
    assert seen.by[-1].draw == "random"
    room.answer(0, 1)
    room.answer(2, 3, verdict=Verdict.REJECTED)
    caplog.clear()
    said = picks(room.select.prepare() or [])
    assert {one.strategy for one in said} == {warm}
    assert seen.by[-1].draw == draw
    assert all((one.propensity is not None) == (draw != "best") for one in said)
    told = {line.getMessage(): vars(line) for line in caplog.records}
    assert told["reads requested"]["strategy"] == warm
    assert ("the champion gives no embeddings" in told) == (warm != name)
    if warm != name:
        assert told["the champion gives no embeddings"]["instead"] == warm


OTHER = "b" * 64


def embedded(number: int, model: str = CHAMPION) -> CandidateScored:
    """A score with an embedding: each model has a space of its own."""
    row = np.random.default_rng([number, ord(model[0])]).normal(size=6).astype("<f2")
    found: CandidateScored = scored(number, model)
    return found.model_copy(update={"embedding": base64.b64encode(row.tobytes()).decode()})


def after_a_swap(store: Store, strategy: str) -> tuple[Room, list[int]]:
    """A room whose first round is done: another champion has scored what nobody has answered yet."""
    room = Room(store, strategy=strategy, budget=4, audit=1)
    room.crown()
    for number in range(20):
        room.hear(received(number), embedded(number))
    read = [int(one.candidate[2:]) for one in room.ask()]
    room.answer(*read[:3])
    room.answer(*read[3:], verdict=Verdict.REJECTED)
    room.round("registered")
    room.hear(registered(2, OTHER), promoted(2, OTHER))
    room.hear(*(embedded(number, OTHER) for number in range(20) if number not in read))
    return room, read


@pytest.mark.parametrize("strategy", ["coreset", "typiclust", "random:coreset"])
def test_it_waits_until_the_champion_has_embedded_what_is_labelled(store: Store, seen: Seen, strategy: str) -> None:
    room, read = after_a_swap(store, strategy)
    for number in read:
        assert room.ask() == []
        room.hear(embedded(number, OTHER))
    assert len(room.ask()) == 5
    known = np.stack([np.frombuffer(base64.b64decode(embedded(one, OTHER).embedding or ""), "<f2") for one in read])
    found = seen.pools[-1].labelled
    assert found is not None
    assert sorted(found.tolist()) == sorted(known.tolist())


def test_it_does_not_wait_for_ever_and_says_what_it_has_not_seen(
    store: Store, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    """Pixels may be gone, and the rooms may be told different strategies."""
    room, read = after_a_swap(store, "coreset")
    assert room.ask() == []
    room.now += timedelta(seconds=STALLED_SECONDS - 1)
    room.hear(embedded(read[0], OTHER))
    assert room.ask() == []
    room.now += timedelta(seconds=STALLED_SECONDS - 1)
    assert room.ask() == [], "they come, if slowly"
    room.now += timedelta(seconds=2)
    assert len(room.ask()) == 5
    assert len(seen.pools[-1].labelled if seen.pools[-1].labelled is not None else ()) == 1
    (line,) = (vars(line) for line in caplog.records if "has not embedded" in line.getMessage())
    assert (line["labelled"], line["seen"]) == (5, 1)


def test_it_does_not_wait_for_what_is_purged(store: Store, seen: Seen) -> None:
    room, read = after_a_swap(store, "coreset")
    room.hear(*(embedded(number, OTHER) for number in read[1:]))
    assert room.ask() == []
    room.hear(purged(f"s-{read[0]}"))
    assert len(room.ask()) == 5
    assert len(seen.pools[-1].labelled if seen.pools[-1].labelled is not None else ()) == 4


@pytest.mark.parametrize("strategy", ["entropy", "badge", "typiclust:entropy@.25+badge2"])
def test_who_looks_at_nothing_labelled_waits_for_none_of_it(store: Store, seen: Seen, strategy: str) -> None:
    room, _ = after_a_swap(store, strategy)
    assert len(room.ask()) == 5
    assert seen.pools[-1].labelled is None
