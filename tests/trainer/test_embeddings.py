"""Strategies that choose by embeddings: what they see of what is labelled, and what is left where there are none."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from overread.core.corrections import Verdict
from overread.core.events import Purpose, ReadRequested
from overread.store.engine import Store
from overread.trainer import selection
from overread_learn.acquisition import Pool, Strategy
from overread_learn.acquisition import select as choose
from trainer.test_selection import Room


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
