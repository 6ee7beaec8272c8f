"""The round: fine-tune the champion on the labels so far, export, register.

It runs in a process of its own, under a lease, and outside any consumer: a round takes minutes and nobody waits for it.
A round that is killed is run again from the same labels with the same seed; a registration that was already made is
found by its identity, which covers settings and labels, so no training is registered twice.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from sqlalchemy import Connection, select

from overread import metrics, tracing
from overread.config import Trainer
from overread.core.clock import Clock
from overread.core.errors import Fenced
from overread.core.events import ChallengerRegistered, Event, Kind
from overread.core.splits import Split
from overread.pacs.views import Views
from overread.registry import WEIGHTS_FILE, Registry
from overread.store.engine import Store, after_commit, upsert
from overread.store.leases import Lease
from overread.trainer import curriculum, shelf
from overread.trainer import labels as teaching
from overread.trainer.bootstrap import start
from overread.trainer.depth import check, last_search
from overread.trainer.learning import Learnt, Networks, Terms, learn
from overread.trainer.recipe import began_at_random, phase, recipe
from overread.trainer.selection import next_round
from overread.trainer.tables import trainer_rounds
from overread.trainer.versions import Model, champion, enter, pending
from overread.trainer.waiting import state_of, why_not
from overread_learn.acquisition.strategy import meaning
from overread_learn.depth import Held
from overread_learn.finetune import Diverged, EpochReport
from overread_learn.nets import Classifier, from_bytes

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """A row for `trainer_rounds`, and the event where a version was registered."""

    row: dict[str, object]
    event: ChallengerRegistered | None
    new: Sequence[teaching.Labelled] = ()
    """Labels that it knew and its parent did not."""


class Task(NamedTuple):
    """What a round starts from."""

    round: int
    parent: Model
    train: list[teaching.Labelled]
    validation: list[teaching.Labelled]


class Failure(NamedTuple):
    """Why a round failed, and under what: it would end in the same way."""

    parent: str
    train: str
    validation: str | None
    """None where it has nothing to do with the labels of validation patients."""
    reason: str

    def holds(self, task: Task) -> bool:
        """Whether it is of these labels and this champion."""
        steering = self.validation in {None, teaching.digest(task.validation)}
        return steering and (self.parent, self.train) == (task.parent.sha256, teaching.digest(task.train))


class Round:
    """Looks every second whether there is something new to learn."""

    every = 1.0

    def __init__(
        self,
        store: Store,
        registry: Registry,
        views: Views,
        settings: Trainer,
        lease: Lease,
        clock: Clock,
        *,
        checkpoints: Path | None = None,
    ) -> None:
        self._store, self._registry, self._views = store, registry, views
        self._settings, self._lease, self._clock = settings, lease, clock
        self._checkpoints = checkpoints
        self._failed: Failure | None = None
        curriculum.check(settings, views.application)
        torch.set_num_threads(settings.threads)

    def prepare(self) -> Outcome | None:
        """Train and register, or find out why not; None where there is nothing to say."""
        with self._store.reading() as tx:
            current, waiting_for, number = champion(tx), pending(tx), next_round(tx)
            begun = tx.execute(select(trainer_rounds)).first() is not None
            if waiting_for is not None or (current is None and begun):
                return None  # rollout decides first
            said = tx.execute(select(trainer_rounds).where(trainer_rounds.c.round == number)).first()
            train, validation = teaching.labelled(tx, Split.TRAIN), teaching.labelled(tx, Split.VALIDATION)
            reason = why_not(tx, self._settings, number, train, validation)
        if not self._lease.take():
            return None
        with self._lease.renewed() as held:
            outcome: Outcome | None
            if current is None:
                outcome = self._bootstrap()
            elif reason := reason or self._failure(Task(number, current, train, validation)):
                outcome = self._waiting(number, reason, train)
                # Selection asks for more only where the round waits with the very labels that stand now.
                telling = ("reason", "labels_sha256") if outcome.row["state"] == "waiting" else ("reason",)
                if said is not None and all(getattr(said, name) == outcome.row[name] for name in telling):
                    outcome = None
            else:
                outcome = self._train(Task(number, current, train, validation))
            if not held():
                raise Fenced("the round's lease was lost; another process goes on from here")
        return outcome

    def apply(self, tx: Connection, prepared: Outcome) -> Sequence[Event]:
        """Write the round's row and announce the version."""
        row = {**prepared.row, "changed": self._clock()}
        entry = upsert(trainer_rounds).values(**row)
        tx.execute(entry.on_conflict_do_update(index_elements=["round"], set_=row))
        after_commit(tx, metrics.rounds.labels(str(row["state"])).inc)
        if prepared.event is None:
            log.info("round waits", extra={"round": row["round"], "reason": row["reason"]})
            return ()
        # Now, not when the room hears its own event: till then a second round would begin beside this one's version.
        enter(tx, prepared.event)
        tracing.links(curriculum.remember(tx, prepared.event.round, prepared.new))
        return (prepared.event,)

    @staticmethod
    def _waiting(number: int, reason: str, train: list[teaching.Labelled]) -> Outcome:
        row: dict[str, object] = {"round": number, "state": state_of(reason), "reason": reason, "labels": len(train)}
        return Outcome({**row, "labels_sha256": teaching.digest(train)}, None)

    def _bootstrap(self) -> Outcome:
        application = self._views.application
        model, origin = start(self._settings, len(application.classes))
        identity = f"bootstrap-{model.arch}-{origin}-{self._settings.seed}"
        version, sha256 = self._register(identity, model, Kind.BOOTSTRAP, {"origin": origin}, {})
        log.info("bootstrap registered", extra={"version": version, "origin": origin})
        row: dict[str, object] = {"round": 0, "state": "registered", "reason": f"start: {origin}", "labels": 0}
        event = ChallengerRegistered(
            name=self._registry.name, version=version, sha256=sha256, kind=Kind.BOOTSTRAP, round=0
        )
        return Outcome({**row, "version": version, "sha256": sha256}, event)

    def _train(self, task: Task) -> Outcome | None:
        """Return what came of it; None where it is to begin anew."""
        begun = time.monotonic()
        settings, seed = self._settings, self._settings.seed + task.round
        with self._store.reading() as tx:
            scratch = began_at_random(tx)
            beginning = curriculum.beginning(tx, settings, task.round, task.parent.version)
            found = last_search(tx)
        network = self._network(beginning.version)
        if network is None:
            reason = f"stopped: the champion, version {beginning.version}, was imported without weights to train on"
            return self._fail(task, reason)
        try:
            check(settings, network)
        except ValueError as error:
            return self._fail(task, f"stopped: trainer.depth: {error}")
        log.info("round begins", extra={"round": task.round, "labels": len(task.train), "parent": task.parent.version})
        held = Held(*teaching.fixed_patches(self._views, task.validation))
        if len(set(held.labels.tolist())) < 2:  # more labels of train patients would not mend it
            return self._fail(task, "reading: one class among the validation patients' labels that have pixels")
        samples = teaching.Neighbourhoods(self._views, task.train)
        terms = partial(recipe, self._views.application, settings, seed=seed, scratch=scratch)
        planned = curriculum.planned(settings, network, samples, beginning.known, seed)
        try:
            learnt = learn(
                Networks(network, beginning.deployed, self._network(beginning.m0)),
                samples,
                planned.indices,
                Terms(
                    held,
                    recipe=terms(first=not beginning.deployed),
                    restart=terms(first=True),
                    on_epoch=lambda report: self._report(task.round, report),
                    found=found,
                ),
                settings,
                checkpoint=self._checkpoints / f"{self._identity(task)}.pt" if self._checkpoints else None,
            )
        except (Diverged, ValueError) as error:  # pixels purged since, or rates too high: said, and tried with more
            return self._fail(task, f"waiting: {error}")
        with self._store.reading() as tx:
            gone = teaching.forgotten(tx, task.train)
        if gone:  # who purged a study was told which versions learnt from it, and this one was not among them
            log.warning("round begins anew", extra={"round": task.round, "purged": gone})
            return None
        stage = phase(settings, scratch=scratch, first=learnt.restarted or not beginning.deployed)
        known = {
            "training": settings.training,
            "rates": settings.rates if stage is None else f"{settings.rates}, {stage}",
            "start": str(beginning.m0 if learnt.restarted else beginning.version),
            "labels": str(len(samples)),
        }
        return self._registered(task, learnt, known, time.monotonic() - begun)._replace(new=planned.new)

    def _network(self, version: int | None) -> Classifier | None:
        """Fetch a network; None where there is no version, or none of its weights."""
        weights = None if version is None else self._registry.fetch(version, WEIGHTS_FILE)
        return None if weights is None else from_bytes(weights)

    def _fail(self, task: Task, reason: str) -> Outcome:
        """Say why, and remember under what: only other labels or another champion change it."""
        steering = teaching.digest(task.validation) if state_of(reason) == "reading" else None
        self._failed = Failure(task.parent.sha256, teaching.digest(task.train), steering, reason)
        return self._waiting(task.round, reason, task.train)

    def _failure(self, task: Task) -> str | None:
        return self._failed.reason if self._failed and self._failed.holds(task) else None

    def _identity(self, task: Task) -> str:
        """Return what tells this training from any other: what another would say is not true of its version."""
        terms = "\n".join(
            (self._settings.model_dump_json(), self._views.application.to_json(), teaching.digest(task.validation))
        )
        parts = (task.parent.sha256, teaching.digest(task.train), hashlib.sha256(terms.encode()).hexdigest())
        return "-".join((f"round-{task.round}", *(part[:16] for part in parts)))

    def _registered(self, task: Task, learnt: Learnt, known: dict[str, str], seconds: float) -> Outcome:
        lineage = {
            "strategy": self._settings.strategy,
            "chooses": meaning(self._settings.strategy),  # `auto` has meant others before
            "parent": str(task.parent.version),
            "parent_sha256": task.parent.sha256,
            "labels_sha256": teaching.digest(task.train),
            **known,
            **learnt.lineage(),
        }
        numbers = learnt.figures()
        version, sha256 = self._register(
            self._identity(task), learnt.model, Kind.ROUND, lineage, numbers, temperature=learnt.temperature
        )
        log.info("challenger registered", extra={"round": task.round, "version": version, **numbers})
        row: dict[str, object] = {
            "round": task.round,
            "state": "registered",
            "reason": None,
            "strategy": self._settings.strategy,
            "labels": len(task.train),
            "labels_sha256": lineage["labels_sha256"],
            "parent": task.parent.version,
            "version": version,
            "sha256": sha256,
            "auc_validation": learnt.auc_validation,
            "best_epoch": learnt.best_epoch,
            "depth": learnt.depth.blocks,
            "searched": learnt.depth.searched,
            "seconds": seconds,
        }
        event = ChallengerRegistered(
            name=self._registry.name,
            version=version,
            sha256=sha256,
            kind=Kind.ROUND,
            round=task.round,
            parent=task.parent.version,
            strategy=self._settings.strategy,
            labels=int(lineage["labels"]),
            auc_validation=learnt.auc_validation,
        )
        return Outcome(row, event)

    def _register(
        self,
        identity: str,
        model: Classifier,
        kind: Kind,
        lineage: dict[str, str],
        numbers: dict[str, float],
        *,
        temperature: float = 1.0,
    ) -> tuple[int, str]:
        what = (self._views.application, identity, model, kind, lineage, numbers)
        return shelf.put(self._registry, *what, seed=self._settings.seed, temperature=temperature)

    @staticmethod
    def _report(number: int, report: EpochReport) -> None:
        metrics.round_epoch.set(report.epoch)
        log.info("epoch", extra={"round": number, "epoch": report.epoch, "loss": report.loss, "auc": report.auc})
