"""The rollout room around a real database, a real shelf and real networks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from inference.pictures import Archive
from inference.words import NOON, corrected, hear, perform, received, registered
from overread.core.corrections import Verdict
from overread.core.events import Event, Kind, Place
from overread.core.splits import Split
from overread.registry import Registry
from overread.rollout import gates, signoff, states
from overread.rollout.evidence import Examiner, seal
from overread.rollout.gates import SignOff
from overread.rollout.locked import Forget, Seal, Truth
from overread.rollout.stages import Advance, Heal, Register
from overread.rollout.states import State
from overread.rollout.tables import rollout_evidence
from overread.store.engine import Store

HANDLERS = (Seal(), Truth(), Register(), Forget())
LABELS = [1, 0, 0] * 12


class Room:
    def __init__(
        self, store: Store, registry: Registry, archive: Archive, models: dict[str, bytes], *, required: int = 1
    ) -> None:
        self.store, self.registry, self.archive, self.models = store, registry, archive, models
        protocol, sha256 = gates.load(None)
        self.protocol = protocol.model_copy(update={"signoff": SignOff(required=required)})
        self.sha256, self.minutes = sha256, 0
        self.advance = self.start()
        self.heal = Heal(store, registry)

    def start(self) -> Advance:
        examiner = Examiner(self.registry, self.archive.views(), providers=None, threads=1)
        return Advance(self.store, self.registry, examiner, self.protocol, self.sha256, self.clock)

    def clock(self) -> Any:
        self.minutes += 1
        return NOON + timedelta(minutes=self.minutes)

    def hear(self, *events: Event, minutes: float = 0.0) -> None:
        assert hear(self.store, HANDLERS, *events, minutes=minutes) == []

    def lock(self, labels: Sequence[int] = LABELS, first: int = 0, detector: Sequence[float] = ()) -> list[Place]:
        """Patients of three candidates each, all answered."""
        places = self.archive.add(list(labels), first)
        for at, (label, place) in enumerate(zip(labels, places, strict=True)):
            number, patient = first + at, f"p-{first}-{at // 3}"
            score = detector[at] if detector else None
            self.hear(
                received(number, place, split=Split.LOCKED, patient=patient, detector_score=score),
                corrected(number, Verdict.CONFIRMED if label else Verdict.REJECTED, place=place, split=Split.LOCKED),
            )
        return places

    def shelve(self, name: str, kind: Kind = Kind.ROUND) -> int:
        content = self.models[name]
        identity = f"{name}-{len(self.registry.versions())}"
        version, digest = self.registry.register(
            identity, model=content, weights=None, tags={}, parameters={}, metrics={}
        )
        self.hear(registered(version, digest, kind, 0 if kind is Kind.BOOTSTRAP else 1))
        return version

    def go(self) -> list[Event]:
        """Advance until there is nothing to do."""
        said: list[Event] = []
        for _ in range(40):
            found = perform(self.store, self.advance)
            if found is None:
                return said
            said += found
        raise AssertionError("the rollout never comes to rest")

    def state(self, version: int) -> str:
        with self.store.reading() as tx:
            row = states.version_row(tx, version)
        assert row is not None
        return str(row.state)

    def reason(self, version: int) -> str:
        with self.store.reading() as tx:
            row = states.version_row(tx, version)
        assert row is not None
        return str(row.reason)

    def sign(self, version: int, name: str = "Head of Radiology") -> signoff.Signature:
        with self.store.writing() as tx:
            return signoff.sign(tx, version, name, time=self.clock())

    def stop(self, version: int) -> list[Event]:
        with self.store.writing() as tx:
            return list(signoff.stop(tx, version, "Head of Radiology", reason="misses", time=self.clock()))

    def evidence(self, version: int) -> list[dict[str, Any]]:
        with self.store.reading() as tx:
            rows = tx.execute(select(rollout_evidence).order_by(rollout_evidence.c.time)).all()
        for row in rows:
            assert seal(row.content) == row.sha256
        return [row.content for row in rows if row.version == version]

    def release(self, name: str) -> int:
        """Take a model all the way."""
        version = self.shelve(name)
        self.go()
        self.sign(version)
        self.go()
        assert self.state(version) == State.CHAMPION, self.reason(version)
        return version

    def begin(self) -> None:
        """A house with its first model and a locked set."""
        self.shelve("bootstrap", Kind.BOOTSTRAP)
        self.go()
        self.lock()
