"""Labels: the newest word of all readers, of train and validation patients only; and which version is champion."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from inference.words import NAME, NOWHERE, corrected, deliver, hear, promoted, purged, received, registered
from overread.core.corrections import Verdict
from overread.core.errors import InvalidEvent
from overread.core.events import CandidateScored, Event, Kind, ModelRejected
from overread.core.splits import Split
from overread.store.engine import Store
from overread.trainer.labels import digest, labelled
from overread.trainer.pool import Admit, Forget, Learn, Rate
from overread.trainer.standing import labels, learnt_from, standing
from overread.trainer.tables import trainer_labels, trainer_pool, trainer_rounds, trainer_scores
from overread.trainer.versions import Promote, Register, Reject, champion, pending

HANDLERS = (Admit(), Learn(), Forget(), Register(), Promote(), Reject())


def hears(store: Store, *events: Event, minutes: float = 0.0) -> None:
    assert hear(store, HANDLERS, *events, minutes=minutes) == []


def known(store: Store) -> dict[str, tuple[int | None, int]]:
    with store.reading() as tx:
        return {row.candidate: (row.label, row.version) for row in tx.execute(select(trainer_labels))}


def test_the_newest_version_of_a_label_stands_whatever_comes_after_it(store: Store) -> None:
    hears(store, received(1), corrected(1, Verdict.CONFIRMED, version=1))
    hears(store, corrected(1, Verdict.REJECTED, version=3), corrected(1, Verdict.CONFIRMED, version=2))
    assert known(store) == {"c-001": (0, 3)}


def test_the_label_is_where_the_reader_put_it(store: Store) -> None:
    moved = NOWHERE.model_copy(update={"x": 7.0, "slice": 2})
    hears(store, received(1), corrected(1, version=1), corrected(1, Verdict.AMENDED, version=2, place=moved))
    with store.reading() as tx:
        (one,) = labelled(tx, Split.TRAIN)
    assert (one.place, one.label, one.version) == (moved, 1, 2)


def test_locked_patients_labels_are_never_known(store: Store) -> None:
    hears(store, received(1, split=Split.LOCKED), corrected(1, split=Split.LOCKED))
    assert known(store) == {}
    with store.reading() as tx:
        assert tx.execute(select(trainer_pool.c.read)).scalars().all() == [True]
        assert labels(tx) == []


def test_what_nobody_may_learn_from_is_no_sample_and_splits_do_not_mix(store: Store) -> None:
    hears(store, corrected(1), corrected(2, Verdict.UNSURE), corrected(3, Verdict.REJECTED, split=Split.VALIDATION))
    with store.reading() as tx:
        assert [one.candidate for one in labelled(tx, Split.TRAIN)] == ["c-001"]
        assert [(one.candidate, one.label) for one in labelled(tx, Split.VALIDATION)] == [("c-003", 0)]


def test_the_digest_changes_with_every_label_and_only_then(store: Store) -> None:
    def now() -> str:
        with store.reading() as tx:
            return digest(labelled(tx, Split.TRAIN))

    seen = [now()]
    for event in (corrected(1), corrected(2), corrected(1, Verdict.REJECTED, version=2)):
        hears(store, event)
        seen.append(now())
    assert len(set(seen)) == 4
    hears(store, corrected(3, split=Split.VALIDATION), corrected(1, version=1))
    assert now() == seen[-1]


def test_a_purged_study_teaches_no_more_and_a_fact_from_before_does_not_bring_it_back(store: Store) -> None:
    """The topics of candidates and facts have no order among each other: after a stop the purge may be heard first."""
    hears(store, received(1), received(2), corrected(1), corrected(2))
    deliver(store, HANDLERS, purged("s-1"), minutes=5)
    deliver(store, HANDLERS, corrected(1, Verdict.REJECTED, version=2), minutes=4)
    assert set(known(store)) == {"c-002"}
    deliver(store, HANDLERS, received(1), corrected(1, version=3), minutes=6)
    assert set(known(store)) == {"c-001", "c-002"}, "sent again after the purge it is a study like any other"


def test_a_purge_that_is_heard_before_everything_else_leaves_nothing(store: Store) -> None:
    deliver(store, HANDLERS, purged("s-1"), minutes=5)
    deliver(store, HANDLERS, corrected(1), minutes=1)
    assert known(store) == {}


def test_the_champion_is_the_last_promoted_and_the_pending_one_waits(store: Store) -> None:
    def now() -> tuple[int | None, int | None]:
        with store.reading() as tx:
            current = champion(tx)
            return (current.version if current else None, pending(tx))

    assert now() == (None, None)
    hears(store, registered(1, "1" * 64, Kind.BOOTSTRAP, 0))
    assert now() == (None, 1)
    hears(store, promoted(1, "1" * 64))
    assert now() == (1, None)
    hears(store, registered(2, "2" * 64, Kind.IMPORTED, 0))
    assert now() == (1, None)
    hears(store, registered(3, "3" * 64), registered(3, "3" * 64))
    assert now() == (1, 3)
    hears(store, ModelRejected(name=NAME, version=3, sha256="3" * 64, gate="non-inferiority"))
    assert now() == (1, None)
    hears(store, promoted(2, "2" * 64), promoted(1, "1" * 64))
    assert now() == (1, None), "restored by a roll-back"


@pytest.mark.parametrize("split", [Split.TRAIN, Split.VALIDATION])
def test_versions_that_may_have_learnt_from_a_study_are_named(store: Store, split: Split) -> None:
    from datetime import timedelta  # noqa: PLC0415

    from inference.words import NOON  # noqa: PLC0415

    hears(store, corrected(1, split=split), minutes=10)
    with store.writing() as tx:
        for number, minutes in ((0, 0), (1, 5), (2, 15), (3, 25)):
            tx.execute(
                trainer_rounds.insert().values(
                    round=number,
                    state="registered",
                    labels=1,
                    version=number + 1,
                    changed=NOON + timedelta(minutes=minutes),
                )
            )
    with store.reading() as tx:
        learnt = learnt_from(tx, "s-1")
        assert learnt == (1, [3, 4] if split is Split.TRAIN else [])
        assert learnt_from(tx, "s-none") == (0, [])
        assert [row["round"] for row in standing(tx)["rounds"]] == [0, 1, 2, 3]


def scored(**other: Any) -> CandidateScored:
    facts = {"logits": ((0.0, 1.0), (0.5, -1.0)), "probability": 0.5, "version": 1, "model": "a" * 64, "cleared": True}
    facts |= {"provider": "CPUExecutionProvider", "precision": "fp32", "split": Split.TRAIN}
    return CandidateScored(**{"candidate": "c-001", "study": "s-1", **facts, **other})


def halves(*values: float) -> str:
    return base64.b64encode(np.array(values, "<f2").tobytes()).decode()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"logits": ((0.0, float("nan")),)}, "a logit is not finite"),
        ({"logits": ((0.0, float("inf")),)}, "a logit is not finite"),
        ({"logits": ((0.0, 1e39),)}, "a logit is beyond 3.4e"),
        ({"logits": ((0.0, 1.0), (0.0, 1.0, 2.0))}, r"logits of 2 patches of \[2, 3\] classes"),
        ({"logits": ((0.0,), (1.0,))}, r"logits of 2 patches of \[1\] classes"),
        ({"logits": ()}, "logits of 0 patches"),
        ({"embedding": "?"}, "no base64"),
        ({"embedding": base64.b64encode(b"odd").decode()}, "3 bytes is no row"),
        ({"embedding": halves(1, float("inf"))}, "the embedding has a number that is not finite"),
    ],
)
def test_a_score_that_selection_could_never_use_is_a_dead_letter(
    store: Store, other: dict[str, Any], said: str
) -> None:
    """Kept, it would end every selection from then on."""
    with pytest.raises(InvalidEvent, match=said):
        hear(store, [Rate()], scored(**other))
    with store.reading() as tx:
        assert tx.execute(select(trainer_scores)).all() == []
    hear(store, [Rate()], scored(embedding=halves(1, 2)))
    with store.reading() as tx:
        assert len(tx.execute(select(trainer_scores)).all()) == 1
