"""From registered to champion, one step at a time: each look does the next act of one version."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from overread import metrics
from overread.core.clock import Clock
from overread.core.codec import Envelope
from overread.core.errors import DigestMismatch, InvalidEvent, Misconfigured, Undecodable
from overread.core.events import ChallengerRegistered, Event, Kind, ModelPromoted, ModelRejected
from overread.handler import Effect
from overread.registry import Registry
from overread.rollout import gates, states
from overread.rollout.evidence import Examiner, seal
from overread.rollout.locked import locked_set
from overread.rollout.states import State, Version
from overread.rollout.tables import rollout_evidence, rollout_signoffs, rollout_versions
from overread.store.engine import Store, upsert

log = logging.getLogger(__name__)

POLICY = "policy"
"""Who acts where the rules leave no choice."""


class Register(Effect):
    """A version stands in the registry: it gets a state."""

    consumes = ChallengerRegistered

    def apply(self, tx: Connection, envelope: Envelope[ChallengerRegistered], _prepared: None) -> Sequence[Event]:
        """Insert as `registered`."""
        event = envelope.event
        row = upsert(rollout_versions).values(
            version=event.version,
            name=event.name,
            sha256=event.sha256,
            kind=event.kind,
            round=event.round,
            state=State.REGISTERED,
        )
        if tx.execute(row.on_conflict_do_nothing()).rowcount:
            states.note(
                tx, event.version, None, State.REGISTERED, by=envelope.source, reason=event.kind, time=envelope.time
            )
        return ()


@dataclass(frozen=True)
class Step:
    """The next act of one version."""

    version: Version
    come_from: State
    to: tuple[State, ...]
    """One or more states in a row, all in one transaction."""
    reason: str | None = None
    gate: str = ""
    evidence: dict[str, object] | None = None
    champion: int | None = None
    cleared: bool = False


class Advance:
    """The rollout's own duty. Compare-and-set makes a second process harmless: its step falls away."""

    every = 0.5

    def __init__(
        self,
        store: Store,
        registry: Registry,
        examiner: Examiner,
        protocol: gates.Protocol,
        protocol_sha256: str,
        clock: Clock,
    ) -> None:
        self._store, self._registry, self._examiner = store, registry, examiner
        self._protocol, self._protocol_sha256, self._clock = protocol, protocol_sha256, clock

    def prepare(self) -> Step | None:
        """Find the next act. The order is that of the line backwards: finish what is nearest to its end."""
        with self._store.reading() as tx:
            promoting = states.in_state(tx, State.PROMOTING)
            signed = self._signed(tx)
            validating = states.all_in(tx, State.VALIDATING)
            registered = states.in_state(tx, State.REGISTERED)
            champion = states.in_state(tx, State.CHAMPION)
        if promoting is not None:
            # The alias first: it may be set twice. A crash before the commit only repeats it.
            self._registry.set_champion(promoting.version)
            cleared = promoting.kind != Kind.BOOTSTRAP
            return Step(promoting, State.PROMOTING, (State.CHAMPION,), cleared=cleared)
        if signed is not None:
            return signed
        for version in validating:  # one that can't be judged now holds up neither the others nor the first model
            step = self._validate(version, champion)
            if step is not None:
                return step
        if registered is not None:
            if registered.kind == Kind.BOOTSTRAP:
                return Step(registered, State.REGISTERED, (State.PROMOTING,), "serves selection only, uncleared")
            return Step(registered, State.REGISTERED, (State.VALIDATING,))
        return None

    def _signed(self, tx: Connection) -> Step | None:
        """Return the next act of the versions that await signatures: each is signed by itself."""
        steps = (self._sign(tx, version) for version in states.all_in(tx, State.AWAITING_SIGNOFF))
        return next((step for step in steps if step is not None), None)

    def _sign(self, tx: Connection, waiting: Version) -> Step | None:
        table = rollout_evidence
        last = tx.execute(
            select(table).where(table.c.version == waiting.version).order_by(table.c.time.desc()).limit(1)
        ).one()
        champion = states.in_state(tx, State.CHAMPION)
        if last.champion != (champion.version if champion else None):
            reason = "another version became champion; the comparison is made again"
            return Step(waiting, State.AWAITING_SIGNOFF, (State.VALIDATING,), reason)
        names = tx.execute(select(rollout_signoffs.c.name).where(rollout_signoffs.c.evidence == last.sha256)).scalars()
        signers = sorted(set(names))
        if len(signers) < self._protocol.signoff.required:
            return None
        return Step(waiting, State.AWAITING_SIGNOFF, (State.PROMOTING,), f"signed by {', '.join(signers)}")

    def _validate(self, version: Version, champion: Version | None) -> Step | None:
        """Gather evidence and ask the gate; too few labels leave the version where it is, with the reason."""
        with self._store.reading() as tx:
            locked = locked_set(tx)
            baseline = states.cleared_baseline(tx)
        lacking = gates.enough(self._protocol, locked)
        if lacking is not None:
            # Said again only when it changes; the version stays.
            return None if version.reason == lacking else Step(version, State.VALIDATING, (), lacking)
        try:
            own = self._examiner.probabilities(version, locked.cases)
            references = {}
            if baseline is not None and champion is not None:
                references = {
                    "champion": self._examiner.probabilities(champion, locked.cases),
                    "cleared": self._examiner.probabilities(baseline, locked.cases),
                }
        except (DigestMismatch, Misconfigured, InvalidEvent, Undecodable, FileNotFoundError, ValueError) as error:
            reason = f"error: {error}"
            return None if version.reason == reason else Step(version, State.VALIDATING, (), reason)
        verdict = gates.judge(self._protocol, locked, own, references)
        metrics.gates.labels(verdict.gate, verdict.answer).inc()
        evidence = {
            **verdict.evidence,
            "version": version.version,
            "sha256": version.sha256,
            "champion": champion.version if champion else None,
            "cleared_baseline": baseline.version if baseline else None,
            "gate": verdict.gate,
            "answer": verdict.answer,
            "reason": verdict.reason,
            "protocol": self._protocol.version,
            "protocol_sha256": self._protocol_sha256,
            "alpha": self._protocol.alpha,
            "margin": self._protocol.margin,
        }
        passed = verdict.answer is gates.Answer.SUCCESSFUL
        return Step(
            version,
            State.VALIDATING,
            (State.VALIDATED, State.AWAITING_SIGNOFF) if passed else (State.REJECTED,),
            verdict.reason,
            gate=verdict.gate,
            evidence=evidence,
            champion=champion.version if champion else None,
        )

    def apply(self, tx: Connection, prepared: Step) -> Sequence[Event]:
        """Write the act down; if the state has moved on meanwhile, do nothing."""
        step, now = prepared, self._clock()
        version = step.version
        row = states.version_row(tx, version.version)
        if row is None or row.state != step.come_from:
            return ()
        if not step.to:
            tx.execute(
                update(rollout_versions).where(rollout_versions.c.version == version.version).values(reason=step.reason)
            )
            return ()
        if step.evidence is not None:
            content = {**step.evidence, "time": now.isoformat()}
            tx.execute(
                rollout_evidence.insert().values(
                    sha256=seal(content),
                    version=version.version,
                    time=now,
                    champion=step.champion,
                    answer=step.evidence["answer"],
                    gate=step.gate,
                    content=content,
                )
            )
        if step.to == (State.CHAMPION,):
            return self._crown(tx, step)
        come_from = step.come_from
        for to in step.to:
            states.move(tx, version.version, come_from, to, by=POLICY, reason=step.reason, time=now)
            come_from = to
        if come_from is State.REJECTED:
            return (ModelRejected(name=version.name, version=version.version, sha256=version.sha256, gate=step.gate),)
        return ()

    def _crown(self, tx: Connection, step: Step) -> Sequence[Event]:
        version, now = step.version, self._clock()
        current = states.in_state(tx, State.CHAMPION)
        if current is not None:
            reason = f"version {version.version} serves"
            states.move(tx, current.version, State.CHAMPION, State.RETIRED, by=POLICY, reason=reason, time=now)
        states.move(tx, version.version, State.PROMOTING, State.CHAMPION, by=POLICY, reason=None, time=now)
        first = step.cleared and states.cleared_baseline(tx) is None
        previous = current.version if current is not None else None
        tx.execute(
            update(rollout_versions)
            .where(rollout_versions.c.version == version.version)
            .values(cleared=step.cleared, previous=previous)
        )
        states.crown(tx, version.version, first_clearance=first, time=now)
        return (
            ModelPromoted(
                name=version.name,
                version=version.version,
                sha256=version.sha256,
                previous=previous,
                cleared=step.cleared,
                first_clearance=first,
            ),
        )


class Heal:
    """The registry's alias is a projection: where it was moved or deleted by hand, it is put back and said."""

    every = 15.0

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry

    def prepare(self) -> None:
        """Compare and put back; nothing is ever written to SQL."""
        with self._store.reading() as tx:
            champion = states.in_state(tx, State.CHAMPION)
            settled = states.in_state(tx, State.PROMOTING) is None
        if champion is None or not settled:
            return
        alias = self._registry.champion()
        if alias != champion.version:
            log.error("registry alias put back", extra={"found": alias, "champion": champion.version})
            metrics.gates.labels("registry-alias", "healed").inc()
            self._registry.set_champion(champion.version)

    def apply(self, tx: Connection, prepared: None) -> Sequence[Event]:
        """Nothing is written."""
        del tx, prepared
        return ()
