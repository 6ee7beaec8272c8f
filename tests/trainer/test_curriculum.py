"""On which labels a round trains: what the champion's line has learnt, and the rows of ACFT's Table 2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sqlalchemy import select

from inference.words import NAME, corrected, promoted, purged
from overread import config
from overread.core.corrections import Verdict
from overread.core.errors import Misconfigured
from overread.core.events import ChallengerRegistered, ModelRejected
from overread.core.splits import Split
from overread.registry import WEIGHTS_FILE
from overread.store.engine import Store
from overread.trainer import curriculum
from overread.trainer.labels import Neighbourhoods, fixed_patches, labelled
from overread.trainer.recipe import recipe
from overread.trainer.tables import trainer_learnt, trainer_rounds
from overread_learn.finetune import STRATEGIES, finetune, misclassified, probabilities
from overread_learn.nets import build, from_bytes
from trainer.room import Room


def choose(room: Room, **settings: object) -> None:
    room.settings = room.settings.model_copy(update=settings)
    room.duty = room.start()


def teach(room: Room, *, verdict: str = "promoted") -> tuple[ChallengerRegistered, dict[str, str]]:
    """A round, and what rollout says of it; returns the event and the version's tags."""
    (said,) = room.look() or ()
    assert isinstance(said, ChallengerRegistered)
    over = promoted(said.version, said.sha256)
    if verdict == "rejected":
        over = ModelRejected(name=NAME, version=said.version, sha256=said.sha256, gate="non-inferiority")  # type: ignore[assignment]
    room.hear(said, over)
    return said, dict(room.registry.versions()[0].tags)


def test_a_row_that_there_is_not_is_refused_at_the_start(room: Room) -> None:
    with pytest.raises(Misconfigured, match=r"trainer\.training: 'ACFT\(QL\)' is none of RFT\(LQ\), .*rehearsal"):
        choose(room, training="ACFT(QL)")
    for name in STRATEGIES:
        choose(room, training=name, strategy="random")


@pytest.mark.parametrize("strategy", ["auto", "margin", "typiclust:random"])
def test_random_fine_tuning_with_chosen_labels_is_refused_since_it_is_another_row(room: Room, strategy: str) -> None:
    said = rf"RFT\(LQ\) are drawn at random, and .* is {strategy}.* Write trainer\.training=AFT\(LQ\), or .*=random"
    with pytest.raises(Misconfigured, match=said):
        choose(room, training="RFT(LQ)", strategy=strategy)
    choose(room, training="AFT(LQ)", strategy=strategy)


def test_by_default_a_round_goes_on_from_the_champion_on_all_labels(room: Room) -> None:
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    _, tags = teach(room)
    assert (tags["training"], tags["start"], tags["trained_on"]) == ("ACFT(LQ)", "1", "8")
    room.label(20, [1, 0, 0])
    _, tags = teach(room)
    assert (tags["training"], tags["start"], tags["trained_on"]) == ("ACFT(LQ)", "2", "11")
    assert "drift" not in tags, "it is looked for every fifth round"


def test_only_what_the_champion_has_not_learnt_as_it_stands_is_new(room: Room) -> None:
    choose(room, training="ACFT(Q)")
    room.bootstrap()
    places = room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    assert teach(room)[1]["trained_on"] == "8"
    room.label(20, [1, 0, 0])
    said, tags = teach(room, verdict="rejected")
    assert (said.labels, tags["trained_on"]) == (11, "3")
    room.hear(corrected(0, Verdict.REJECTED, version=2, place=places[0]))
    said, tags = teach(room)
    assert (said.labels, said.parent) == (11, 2)
    assert tags["trained_on"] == "4", "an amended label, and three that only a rejected network has learnt"
    room.label(30, [1, 0])
    assert teach(room)[1]["trained_on"] == "2"


def test_new_labels_of_one_class_wait_for_more_where_the_row_trains_on_them_alone(room: Room) -> None:
    choose(room, training="ACFT(Q)")
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    teach(room)
    room.label(20, [0] * 5)
    assert room.look() == []
    row = room.row(2)
    assert (row.state, row.reason) == (
        "waiting",
        "waiting: no two classes among the 5 labels that ACFT(Q) trains on",
    )
    assert room.look() is None, "the same is said again and again"
    room.label(30, [1])
    assert teach(room)[1]["trained_on"] == "6"


def test_what_begins_at_m0_takes_the_bootstraps_weights_and_is_not_drawn_to_the_champion(room: Room) -> None:
    choose(room, training="AFT(LQ)", recalibrate=False)
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    teach(room)
    room.label(20, [1, 0])
    said, tags = teach(room)
    assert (said.parent, tags["start"], tags["trained_on"], tags["interpolated"]) == (2, "1", "10", "1")
    weights, registered = room.registry.fetch(1, WEIGHTS_FILE), room.registry.fetch(3, WEIGHTS_FILE)
    assert weights is not None
    assert registered is not None
    views = room.archive.views()
    with room.store.reading() as tx:
        train, validation = labelled(tx, Split.TRAIN), labelled(tx, Split.VALIDATION)
    expected = finetune(
        from_bytes(weights),
        Neighbourhoods(views, train),
        fixed_patches(views, validation)[:2],
        recipe(views.application, room.settings, seed=2, scratch=False, first=True),
    ).model.state_dict()
    found = from_bytes(registered).state_dict()
    assert all(torch.equal(expected[name], value) for name, value in found.items())


@pytest.fixture
def samples(room: Room) -> Neighbourhoods:
    room.label(0, [1, 0] * 6)
    with room.store.reading() as tx:
        return Neighbourhoods(room.archive.views(), labelled(tx, Split.TRAIN))


def plan(samples: Neighbourhoods, training: str, learnt: int) -> list[int]:
    """What a round trains on where the first so many are learnt."""
    known = frozenset((one.candidate, one.version) for one, _ in samples.kept[:learnt])
    found = curriculum.planned(config.Trainer(training=training), NETWORK, samples, known, seed=3)
    assert [one.candidate for one in found.new] == [one.candidate for one, _ in samples.kept[learnt:]]
    return [int(index) for index in found.indices]


NETWORK = build("squeezenet1_1", 2, None, 5)


def test_what_the_parent_gets_wrong_by_its_mean_patch_probability_is_learnt_again(samples: Neighbourhoods) -> None:
    patches = [samples.patches(index) for index in range(len(samples))]
    wrong = misclassified(samples.labels, probabilities(NETWORK, patches))
    assert 0 < wrong[:8].sum() < 8, "nothing would be shown"
    hard = [int(index) for index in np.flatnonzero(wrong[:8])]
    assert plan(samples, "ACFT(HQ)", 8) == [*hard, 8, 9, 10, 11]
    assert plan(samples, "ACFT(LQ)", 8) == plan(samples, "AFT(LQ)", 8) == list(range(12))
    kept = plan(samples, "rehearsal", 8)
    assert set(kept) >= {*hard, 8, 9, 10, 11}
    assert len(kept) == len(hard) + 4 + min(4, 8 - len(hard)), "as many more of L as there are new ones"
    assert plan(samples, "rehearsal", 0) == plan(samples, "ACFT(Q)", 0) == list(range(12))


def test_a_part_of_the_samples_draws_as_they_do(samples: Neighbourhoods) -> None:
    part = samples.part(np.array([2, 5]))
    assert (len(part), part.labels.tolist(), len(samples)) == (2, [1, 0], 12)
    for place, index in enumerate((2, 5)):
        drawn, whole = (one.draw(at, np.random.default_rng(1)) for one, at in ((part, place), (samples, index)))
        np.testing.assert_array_equal(drawn, whole)


def test_a_line_of_versions_is_followed_through_rejections_and_roll_backs(room: Room) -> None:
    room.label(0, [1, 0, 1, 0])
    with room.store.writing() as tx:
        a, b, c, d = labelled(tx, Split.TRAIN)
        learnt = {1: (None, ()), 2: (1, (a,)), 3: (2, (b,)), 4: (2, (b, c)), 5: (4, (d._replace(version=7),))}
        for version, (parent, new) in learnt.items():
            values = {"round": version - 1, "state": "registered", "version": version, "parent": parent, "labels": 0}
            tx.execute(trainer_rounds.insert().values(**values, changed=room.duty._clock()))
            curriculum.remember(tx, version - 1, new)
            curriculum.remember(tx, version - 1, new)  # a round that died in saying so says it again

    def known(version: int) -> set[tuple[str, int]]:
        with room.store.reading() as tx:
            return set(curriculum.beginning(tx, room.settings, 9, version).known)

    first, second, third = ((one.candidate, 1) for one in (a, b, c))
    assert known(1) == known(99) == set()
    assert known(2) == {first}
    assert known(3) == {first, second}
    assert known(4) == {first, second, third}
    assert known(5) == {first, second, third, (d.candidate, 7)}


def test_of_a_purged_study_nothing_is_remembered(room: Room) -> None:
    def remembered(store: Store) -> list[str]:
        with store.reading() as tx:
            return list(tx.execute(select(trainer_learnt.c.candidate).order_by(trainer_learnt.c.candidate)).scalars())

    room.label(0, [1, 0, 1])
    with room.store.reading() as tx:
        known = labelled(tx, Split.TRAIN)
    room.hear(purged("s-2"))
    with room.store.writing() as tx:
        curriculum.remember(tx, 1, known)
    assert remembered(room.store) == ["c-000", "c-001"], "it was purged while the round went on"
    room.hear(purged("s-0"))
    assert remembered(room.store) == ["c-001"]
