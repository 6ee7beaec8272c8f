"""The round around a real database, a real shelf and pictures that can be learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from inference.pictures import Archive
from inference.words import NOON, corrected, hear, perform, promoted, received
from overread import config
from overread.core.corrections import Verdict
from overread.core.events import ChallengerRegistered, Place
from overread.core.splits import Split
from overread.registry import Registry
from overread.store.engine import Store
from overread.store.leases import Lease
from overread.trainer.pool import Admit, Forget, Learn
from overread.trainer.round import Round
from overread.trainer.tables import trainer_rounds
from overread.trainer.versions import Promote, Register, Reject

HANDLERS = (Admit(), Learn(), Register(), Promote(), Reject(), Forget())


class Room:
    def __init__(self, store: Store, registry: Registry, archive: Archive, weights: Path, **settings: Any) -> None:
        self.store, self.registry, self.archive, self.weights = store, registry, archive, weights
        self.settings = config.Trainer(**{"weights": weights, "epochs": 1, "least_labels": 8, **settings})
        self.checkpoints = weights.parent / "rounds"
        self.lease = Lease(store, "trainer.round", "tests")
        self.duty = self.start()

    def start(self, lease: Lease | None = None) -> Round:
        """A process of its own: nothing is remembered but what stands in the database."""
        views = self.archive.views()
        return Round(
            self.store,
            self.registry,
            views,
            self.settings,
            lease or self.lease,
            lambda: NOON,
            checkpoints=self.checkpoints,
        )

    def hear(self, *events: Any) -> None:
        hear(self.store, HANDLERS, *events)

    def look(self) -> list[Any] | None:
        return perform(self.store, self.duty)

    def bootstrap(self) -> ChallengerRegistered:
        (said,) = self.look() or ()
        assert isinstance(said, ChallengerRegistered)
        self.hear(said, promoted(said.version, said.sha256, cleared=False))
        return said

    def label(self, first: int, labels: list[int], split: Split = Split.TRAIN) -> list[Place]:
        places = self.archive.add(labels, first)
        for number, (label, place) in enumerate(zip(labels, places, strict=True), first):
            verdict = Verdict.CONFIRMED if label else Verdict.REJECTED
            self.hear(received(number, place, split=split), corrected(number, verdict, place=place, split=split))
        return places

    def row(self, number: int) -> Any:
        with self.store.reading() as tx:
            return tx.execute(select(trainer_rounds).where(trainer_rounds.c.round == number)).one_or_none()
