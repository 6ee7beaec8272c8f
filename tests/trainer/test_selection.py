"""Whose answer is asked for, and when: never before the ranking would be the champion's, never beyond the budget."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from inference.words import NOON, corrected, hear, perform, promoted, purged, received, registered
from overread import config
from overread.core.corrections import Verdict
from overread.core.errors import Misconfigured
from overread.core.events import CandidateScored, Kind, Purpose, ReadRequested
from overread.core.pseudonyms import Pseudonyms
from overread.core.splits import Split
from overread.store.engine import Store
from overread.trainer.labels import digest, labelled
from overread.trainer.pool import Admit, Forget, Learn, Rate
from overread.trainer.selection import Select, next_round, open_reads, reference_reads
from overread.trainer.tables import trainer_rounds
from overread.trainer.versions import Promote, Register, Reject

HANDLERS = (Admit(), Rate(), Learn(), Register(), Promote(), Reject(), Forget())
CHAMPION = "a" * 64
KEY = b"a key that only tests know, 32 b"


def scored(number: int, model: str = CHAMPION, *, split: Split = Split.TRAIN, lean: float | None = None) -> Any:
    """Logits of two patches; the smaller `lean`, the less sure."""
    value = float(number) if lean is None else lean
    return CandidateScored(
        candidate=f"c-{number:03}",
        study=f"s-{number}",
        split=split,
        logits=((0.0, value), (0.0, value)),
        probability=0.5,
        version=1,
        model=model,
        provider="CPUExecutionProvider",
        precision="fp32",
        cleared=False,
    )


class Room:
    def __init__(self, store: Store, **settings: Any) -> None:
        self.store, self.now = store, NOON
        chosen = config.Trainer(**{"strategy": "entropy", "budget": 3, "audit": 1, **settings})
        self.select = Select(store, chosen, patches=2, share=Pseudonyms(KEY).share, clock=lambda: self.now)

    def hear(self, *events: Any) -> None:
        hear(self.store, HANDLERS, *events)

    def crown(self, version: int = 1, sha256: str = CHAMPION) -> None:
        self.hear(registered(version, sha256, Kind.BOOTSTRAP, 0), promoted(version, sha256, cleared=False))

    def fill(self, numbers: range, **how: Any) -> None:
        for number in numbers:
            self.hear(received(number, **how))
            self.hear(scored(number, split=how.get("split", Split.TRAIN)))

    def ask(self) -> list[ReadRequested]:
        said: list[Any] = []
        while found := perform(self.store, self.select):
            said += found
        return said

    def answer(self, *numbers: int, verdict: Verdict = Verdict.CONFIRMED) -> None:
        for number in numbers:
            self.hear(corrected(number, verdict))

    def round(self, state: str, number: int = 1) -> None:
        """What `trainer.round` says of a round."""
        with self.store.writing() as tx:
            known = digest(labelled(tx, Split.TRAIN))
            tx.execute(trainer_rounds.delete().where(trainer_rounds.c.round == number))
            tx.execute(
                insert(trainer_rounds).values(
                    round=number, state=state, labels=0, labels_sha256=known, changed=self.now
                )
            )


@pytest.fixture
def room(store: Store) -> Room:
    return Room(store)


def asked(said: list[ReadRequested], purpose: Purpose) -> list[str]:
    return [one.candidate for one in sorted(said, key=lambda one: one.rank) if one.purpose is purpose]


def test_the_budget_is_the_most_uncertain_and_the_audit_is_of_the_rest(room: Room) -> None:
    room.crown()
    room.fill(range(10))
    said = room.ask()
    assert asked(said, Purpose.ACQUISITION) == ["c-000", "c-001", "c-002"]
    (audit,) = asked(said, Purpose.AUDIT)
    assert audit not in {"c-000", "c-001", "c-002"}
    assert len(said) == 4
    first = said[0]
    assert (first.round, first.rank, first.strategy, first.model) == (1, 0, "entropy", CHAMPION)
    assert first.score is not None
    assert first.score >= max(one.score or 0 for one in said)
    assert {one.strategy for one in said if one.purpose is Purpose.AUDIT} == {None}


@pytest.mark.parametrize(("strategy", "instead"), [("scratch", "random"), ("scratch:entropy", "random:entropy")])
def test_a_strategy_that_begins_anew_each_round_is_refused(store: Store, strategy: str, instead: str) -> None:
    """Nothing here would begin anew: it would be Random under another name."""
    with pytest.raises(Misconfigured, match=rf"{strategy} begins each .*write trainer\.strategy={instead}$"):
        Room(store, strategy=strategy)
    Room(store, strategy=instead)


def test_the_audit_is_a_lot_and_not_a_ranking(store: Store) -> None:
    room = Room(store, budget=5, audit=8)
    room.crown()
    room.fill(range(40))
    audit = asked(room.ask(), Purpose.AUDIT)
    assert len(audit) == 8
    assert audit != sorted(audit), "the sample follows the ranking"


def test_nothing_is_ranked_without_a_champion_or_while_a_challenger_waits_for_its_verdict(room: Room) -> None:
    room.fill(range(10))
    assert room.ask() == []
    room.crown()
    room.hear(registered(2, "b" * 64))
    assert room.ask() == []
    from overread.core.events import ModelRejected  # noqa: PLC0415

    room.hear(ModelRejected(name="overread-lung-nodule", version=2, sha256="b" * 64, gate="non-inferiority"))
    assert len(room.ask()) == 4


def test_an_import_that_waits_for_its_gate_holds_up_nothing(room: Room) -> None:
    room.crown()
    room.fill(range(10))
    room.hear(registered(2, "b" * 64, Kind.IMPORTED))
    assert len(room.ask()) == 4


def test_a_pool_below_the_budget_is_asked_once_nothing_arrives_any_more(room: Room) -> None:
    room.crown()
    room.fill(range(2))
    assert room.ask() == []
    room.now += timedelta(seconds=21)
    assert len(room.ask()) == 2


def test_no_second_batch_while_one_is_open_or_was_just_answered(room: Room) -> None:
    room.crown()
    room.fill(range(12))
    first = room.ask()
    assert room.ask() == []
    numbers = [int(one.candidate[2:]) for one in first]
    room.answer(*numbers[:-1])
    assert room.ask() == []
    with room.store.reading() as tx:
        assert open_reads(tx) == 1
    room.answer(numbers[-1])
    assert room.ask() == [], "the round has enough; it asks by itself for more"


def test_a_round_that_waits_is_given_more_and_one_that_reads_is_not(room: Room) -> None:
    room.crown()
    room.fill(range(12))
    room.answer(*(int(one.candidate[2:]) for one in room.ask()))
    room.round("reading")
    assert room.ask() == []
    room.round("waiting")
    more = room.ask()
    assert len(more) == 4
    assert {one.round for one in more} == {1}


def test_what_the_round_said_before_the_last_answers_asks_for_nothing(room: Room) -> None:
    """Between the last answer and the round's next look, and while it trains, its old word still stands."""
    room.crown()
    room.fill(range(20))
    room.answer(*(int(one.candidate[2:]) for one in room.ask()))
    room.round("waiting")
    room.answer(*(int(one.candidate[2:]) for one in room.ask()))
    assert room.ask() == []
    room.round("waiting")
    assert len(room.ask()) == 4


def test_the_next_round_begins_when_its_model_serves_and_rounds_may_end(store: Store) -> None:
    room = Room(store, most_rounds=2)
    room.crown()
    room.fill(range(20))
    unread = set(range(20))
    for number, model in ((1, "b" * 64), (2, "c" * 64)):
        said = room.ask()
        assert {one.round for one in said} == {number}
        room.answer(*(int(one.candidate[2:]) for one in said))
        unread -= {int(one.candidate[2:]) for one in said}
        room.round("registered", number)
        room.hear(registered(number + 1, model, number=number), promoted(number + 1, model))
        room.hear(*(scored(place, model) for place in sorted(unread)))  # what was answered keeps its score
    with store.reading() as tx:
        assert next_round(tx) == 3
    assert room.ask() == []


def test_validation_and_locked_patients_are_read_completely_in_random_order(room: Room) -> None:
    room.fill(range(300), split=Split.VALIDATION)
    room.fill(range(300, 340), split=Split.LOCKED)
    said = room.ask()
    assert len(said) == len({one.candidate for one in said}) == 340
    assert {one.purpose for one in said} == {Purpose.REFERENCE}
    assert {(one.score, one.strategy, one.model) for one in said} == {(None, None, None)}
    order = asked(said, Purpose.REFERENCE)
    assert order != sorted(order)
    half = sum(int(name[2:]) < 150 for name in order[:170])
    assert 50 < half < 120, "the order follows the arrival"
    assert room.ask() == []
    with room.store.reading() as tx:
        assert reference_reads(tx, Split.VALIDATION) == (300, 300)
    room.hear(corrected(5, split=Split.VALIDATION))
    with room.store.reading() as tx:
        assert reference_reads(tx, Split.VALIDATION) == (299, 300)


def test_an_answer_that_overtook_its_candidate_is_not_asked_for(room: Room) -> None:
    room.crown()
    room.hear(corrected(0), received(0), scored(0))
    room.fill(range(1, 10))
    assert "c-000" not in {one.candidate for one in room.ask()}


def test_a_candidate_whose_only_verdict_was_withdrawn_is_in_the_pool_again(room: Room) -> None:
    room.crown()
    room.fill(range(4))
    room.answer(0)
    room.hear(corrected(0, Verdict.WITHDRAWN, version=2, readers=0))
    assert "c-000" in {one.candidate for one in room.ask()}


def test_a_purged_study_is_asked_for_no_more_and_holds_no_round_open(room: Room) -> None:
    room.crown()
    room.fill(range(12))
    said = room.ask()
    for one in said:
        room.hear(purged(one.study))
    with room.store.reading() as tx:
        assert open_reads(tx) == 0
    again = {one.candidate for one in room.ask()}
    assert not again & {one.candidate for one in said}


def test_scores_of_locked_patients_are_not_kept(room: Room) -> None:
    from overread.trainer.tables import trainer_scores  # noqa: PLC0415

    room.fill(range(3), split=Split.LOCKED)
    room.fill(range(3, 6), split=Split.VALIDATION)
    room.fill(range(6, 8))
    with room.store.reading() as tx:
        assert sorted(tx.execute(select(trainer_scores.c.candidate)).scalars()) == ["c-006", "c-007"]
