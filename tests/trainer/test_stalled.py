"""What selection waits for after a swap, and what it does where scores do not come."""

from __future__ import annotations

from datetime import timedelta

import pytest

from inference.words import promoted, received, registered
from overread.store.engine import Store
from overread.trainer.selection import STALLED_SECONDS
from trainer.test_selection import Room, scored


@pytest.fixture
def room(store: Store) -> Room:
    return Room(store)


def test_nothing_is_ranked_before_nine_in_ten_carry_the_champions_logits(room: Room) -> None:
    room.crown()
    room.fill(range(20))
    room.hear(registered(2, "b" * 64), promoted(2, "b" * 64))
    room.hear(*(scored(number, "b" * 64) for number in range(17)))
    assert room.ask() == []
    room.hear(scored(17, "b" * 64))
    said = room.ask()
    assert {one.model for one in said} == {"b" * 64}
    assert not {"c-018", "c-019"} & {one.candidate for one in said}, "another model's logits were ranked"


def test_candidates_that_nobody_can_score_do_not_hold_the_others_up_for_ever(room: Room) -> None:
    """Their pixels are gone or broken: no score will ever come."""
    room.crown()
    room.fill(range(6))
    for number in range(10, 14):
        room.hear(received(number))
    assert room.ask() == []
    room.now += timedelta(seconds=STALLED_SECONDS - 1)
    assert room.ask() == []
    room.hear(scored(10))
    room.now += timedelta(seconds=2)
    assert room.ask() == [], "scoring goes on, so the rest may come"
    room.now += timedelta(seconds=STALLED_SECONDS + 1)
    assert len(room.ask()) == 4


def test_steady_arrivals_beside_candidates_that_nobody_can_score_are_no_progress(room: Room) -> None:
    room.crown()
    room.fill(range(6))
    for number in range(10, 14):
        room.hear(received(number))
    assert room.ask() == []
    for number in (20, 21):
        room.hear(received(number))
        assert room.ask() == []
        room.hear(scored(number))
        assert room.ask() == []
        room.now += timedelta(minutes=4)
    assert len(room.ask()) == 4
