"""What is labelled is scored again for a strategy that keeps away from it: from a swap to the next asking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inference.pictures import Archive
from inference.test_score import Room
from inference.words import corrected, promoted, received, registered
from overread import config
from overread.bootstrap import build
from overread.core.corrections import Verdict
from overread.core.splits import Split
from overread.inference.score import Rescore
from overread.store.engine import Store
from overread.trainer import scores
from overread.trainer.strategies import keeps_away
from trainer.test_selection import Room as Selection


def numbers(said: list[Any]) -> list[int]:
    return [int(one.candidate[2:]) for one in said]


def test_train_patients_answered_candidates_follow_the_unread(
    store: Store, archive: Archive, networks: tuple[bytes, bytes]
) -> None:
    """Nobody waits for these scores but selection; readers see those of the unread."""
    room = Room(store, archive, labelled=True)
    room.serve(networks[0], 1)
    splits = [Split.TRAIN] * 4 + [Split.VALIDATION, Split.LOCKED]
    places = archive.add([1, 0] * 3)
    for number, (place, split) in enumerate(zip(places, splits, strict=True)):
        room.hear(received(number, place, split=split))
    room.hear(*(corrected(number, split=splits[number]) for number in (0, 2, 4, 5)))
    second = room.serve(networks[1], 2)
    said = room.again()
    assert (sorted(numbers(said[:2])), sorted(numbers(said[2:]))) == ([1, 3], [0, 2])
    assert {one.model for one in said} == {second}
    assert room.again() == []
    room.serve(networks[0], 1)
    assert sorted(numbers(room.again())) == [0, 1, 2, 3], "after a roll-back too"


@pytest.mark.parametrize("strategy", ["coreset", "typiclust"])
def test_after_a_swap_selection_sees_all_that_is_labelled(
    store: Store, archive: Archive, networks: tuple[bytes, bytes], strategy: str
) -> None:
    settings = config.Trainer(strategy=strategy)
    inference = Room(store, archive, labelled=keeps_away(settings))
    trainer = Selection(store, strategy=strategy, budget=3, audit=1)
    first = inference.serve(networks[0], 1)
    trainer.crown(1, first)
    for number, place in enumerate(archive.add([1, 0] * 8)):
        trainer.hear(received(number, place))
        trainer.hear(*inference.hear(received(number, place)))
    read: list[int] = []
    for version, model in ((2, networks[1]), (3, networks[0])):
        read += (asked := numbers(trainer.ask()))
        assert len(asked) == 4
        for number in asked:
            fact = corrected(number, Verdict.REJECTED if number % 2 else Verdict.CONFIRMED)
            trainer.hear(fact)
            inference.hear(fact)
        trainer.round("registered", version - 1)
        digest = inference.serve(model, version)
        trainer.hear(registered(version, digest, number=version - 1), promoted(version, digest))
        said = inference.again()
        trainer.hear(*said)
        with store.reading() as tx:
            known = scores.answered(tx, digest)
        assert known is not None
        assert len(known) == len(read) == sum(int(one.candidate[2:]) in read for one in said)
        assert len(np.unique(known, axis=0)) == len(read)
    assert not set(numbers(trainer.ask())) & set(read)


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ("coreset", True),
        ("typiclust", True),
        ("random:typiclust", True),
        ("auto", False),
        ("typiclust:entropy@.25+badge2", False),
        ("marge", False),
    ],
)
def test_a_house_has_it_done_for_such_strategies_alone(open_house: Any, strategy: str, wanted: bool) -> None:
    """It costs as much as scoring so many unread ones. What is no strategy stops the trainer, and no scoring."""
    room = build(open_house(trainer__strategy=strategy), "inference")
    (duty,) = (duty for duty in room.duties if isinstance(duty, Rescore))
    assert duty._labelled is wanted
