"""With what probability a read was asked for: kept with the request, and true of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sqlalchemy import select

from inference.words import purged
from overread.core.events import Purpose, ReadRequested
from overread.core.splits import Split
from overread.store.engine import Store
from overread.trainer.tables import trainer_requests
from trainer.test_selection import Room


def kept(store: Store) -> dict[str, float | None]:
    with store.reading() as tx:
        rows = tx.execute(select(trainer_requests.c.candidate, trainer_requests.c.propensity)).all()
    return {row.candidate: row.propensity for row in rows}


def test_the_request_and_the_table_keep_what_the_draw_knew(store: Store) -> None:
    room = Room(store, strategy="entropy~3", budget=4, audit=2)
    room.crown()
    room.fill(range(20))
    said = room.ask()
    drawn = [one.propensity for one in said if one.purpose is Purpose.ACQUISITION]
    assert len(drawn) == 4
    assert all(value is not None and 0 < value <= 1 for value in drawn)
    assert len(set(drawn)) > 1, "ACFT's weights are not equal"
    assert [one.propensity for one in said if one.purpose is Purpose.AUDIT] == [2 / 16] * 2, "2 of those 4 of 20 left"
    assert kept(store) == {one.candidate: pytest.approx(one.propensity) for one in said}


def test_picks_without_chance_have_none_and_reads_of_everybody_neither(store: Store) -> None:
    room = Room(store)
    room.crown()
    room.fill(range(10))
    room.fill(range(10, 12), split=Split.VALIDATION)
    said = room.ask()
    assert {one.propensity for one in said if one.purpose is not Purpose.AUDIT} == {None}
    assert [one.propensity for one in said if one.purpose is Purpose.AUDIT] == [1 / 7]


def test_it_is_how_often_the_draw_takes_a_candidate(store: Store) -> None:
    """Of each candidate the mean of 1/propensity, 0 where it was not drawn, is 1: its weight brings it back."""
    room = Room(store)
    room.crown()
    room.fill(range(9))
    weights: dict[str, list[float]] = {f"c-{number:03}": [] for number in range(9)}
    for seed in range(400):
        chosen = Room(store, strategy="entropy^1", budget=4, audit=0, seed=seed).select.prepare() or []
        found = {one.candidate: 1 / one.propensity for one in chosen if one.propensity}
        for name, weight in weights.items():
            weight.append(found.get(name, 0.0))
    for name in ("c-000", "c-001", "c-002"):  # the others' entropy is so small that they are hardly ever drawn
        error = np.std(weights[name]) / 400**0.5
        assert abs(np.mean(weights[name]) - 1) < 4 * error, name


@pytest.mark.parametrize(
    "settings", [{"strategy": "random", "budget": 60, "audit": 0}, {"strategy": "entropy", "budget": 1, "audit": 60}]
)
def test_a_second_asking_in_a_round_draws_anew(store: Store, settings: dict[str, Any]) -> None:
    """Who was passed over has the worse lots of the first draw: by these, 40 of those who came since would win."""
    room = Room(store, **settings)
    room.crown()
    room.fill(range(120))
    room.answer(*(int(one.candidate[2:]) for one in room.ask()))
    room.round("waiting")
    room.fill(range(120, 180))
    second = room.ask()
    assert len(second) == settings["budget"] + settings["audit"]
    assert 24 <= sum(one.candidate >= "c-120" for one in second) <= 36, "half of them, give or take chance"


def test_after_a_purge_it_draws_anew(store: Store) -> None:
    """A purge takes requests back: by their number alone the lots of an earlier asking would come again."""
    room = Room(store, strategy="random", budget=3, audit=0)
    room.crown()
    room.fill(range(30))
    room.answer(*(int(one.candidate[2:]) for one in room.ask()))
    room.round("waiting")
    second = room.ask()
    for one in second:
        room.hear(purged(one.study))
    third = room.ask()
    assert len(third) == 3
    lowest = min(one.score for one in second if one.score is not None)
    assert max(one.score for one in third if one.score is not None) > lowest, "by the same lots all would be lower"


@pytest.mark.parametrize("value", [0.0, -0.1, 1.5, float("nan")])
def test_what_is_no_probability_of_a_pick_is_no_request(value: float) -> None:
    """Weighed by 1/0 it would outweigh all others."""
    with pytest.raises(ValidationError, match="propensity"):
        ReadRequested(candidate="c-1", study="s-1", purpose=Purpose.AUDIT, round=1, rank=0, propensity=value)
