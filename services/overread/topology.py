"""THE MAP. One row says: this room hears this, does that, and says so.

Follow a candidate from C-STORE to a promoted model by reading the rows downwards. `DUTY`: the room looks by itself,
every so often. `bootstrap.py` builds exactly this (a test compares the two).
"""

from __future__ import annotations

from typing import NamedTuple

from overread.bus.dead_letters import topic_of
from overread.bus.port import Topic
from overread.core.events import (
    CANDIDATES,
    COMMANDS,
    FACTS,
    INSTANCES,
    LIFECYCLE,
    READS,
    REFUSALS,
    SCORES,
    CandidateReceived,
    CandidateScored,
    ChallengerRegistered,
    CorrectionRefused,
    CorrectionSubmitted,
    Event,
    FindingCorrected,
    InstanceReceived,
    ModelPromoted,
    ModelRejected,
    ModelRolledBack,
    ReadRequested,
    StudyPurged,
    StudyPurgedAtSource,
)


class Row(NamedTuple):
    """Room · consumes · handler · produces."""

    room: str
    consumes: type[Event] | str
    handler: str
    produces: tuple[type[Event], ...] = ()


C_STORE = "C-STORE"
HTTP = "HTTP"
DUTY = "by itself"

LINE: tuple[Row, ...] = (
    # 1. Pixels come in.
    Row("gateway", C_STORE, "gateway.admission.Admission", (InstanceReceived,)),
    Row("gateway", "overread purge", "gateway.purge.purge", (StudyPurged, StudyPurgedAtSource)),
    Row("gateway", ModelPromoted, "gateway.patients.CloseLockedSet"),
    # 2. A study is complete: where is it suspicious?
    Row("candidates", InstanceReceived, "candidates.studies.Collect"),
    Row("candidates", DUTY, "candidates.studies.Settle", (CandidateReceived,)),
    Row("candidates", StudyPurgedAtSource, "candidates.studies.Forget"),
    # 3. What does the serving model say of it?
    Row("inference", CandidateReceived, "inference.score.Score", (CandidateScored,)),
    Row("inference", FindingCorrected, "inference.score.MarkRead"),
    Row("inference", ModelPromoted, "inference.swap.Nudge"),
    Row("inference", DUTY, "inference.swap.Swap"),
    Row("inference", DUTY, "inference.score.Rescore", (CandidateScored,)),
    Row("inference", StudyPurged, "inference.score.Forget"),
    # 4. Whose answer teaches most?
    Row("trainer.selection", CandidateReceived, "trainer.pool.Admit"),
    Row("trainer.selection", CandidateScored, "trainer.pool.Rate"),
    Row("trainer.selection", FindingCorrected, "trainer.pool.Learn"),
    Row("trainer.selection", ChallengerRegistered, "trainer.versions.Register"),
    Row("trainer.selection", ModelPromoted, "trainer.versions.Promote"),
    Row("trainer.selection", ModelRejected, "trainer.versions.Reject"),
    Row("trainer.selection", DUTY, "trainer.selection.Select", (ReadRequested,)),
    Row("trainer.selection", StudyPurged, "trainer.pool.Forget"),
    # 5. A radiologist answers.
    Row("review", CandidateReceived, "review.worklist.List"),
    Row("review", CandidateScored, "review.worklist.Show"),
    Row("review", ReadRequested, "review.worklist.Ask"),
    Row("review", HTTP, "review.routes", (CorrectionSubmitted, FindingCorrected)),
    Row("review", CorrectionSubmitted, "review.verdicts.Judge", (FindingCorrected, CorrectionRefused)),
    Row("review", StudyPurged, "review.worklist.Forget"),
    # 6. The model learns.
    Row("trainer.round", DUTY, "trainer.round.Round", (ChallengerRegistered,)),
    # 7. May it meet a patient?
    Row("rollout", CandidateReceived, "rollout.locked.Seal"),
    Row("rollout", FindingCorrected, "rollout.locked.Truth"),
    Row("rollout", ChallengerRegistered, "rollout.stages.Register"),
    Row("rollout", DUTY, "rollout.stages.Advance", (ModelPromoted, ModelRejected)),
    Row("rollout", DUTY, "rollout.stages.Heal"),
    Row("rollout", "overread rollout", "rollout.signoff", (ModelRejected, ModelRolledBack, ModelPromoted)),
    Row("rollout", StudyPurged, "rollout.locked.Forget"),
    # On a broker: the outbox is carried there. On the embedded bus it is the log itself, and nobody does this.
    Row("relay", DUTY, "bus.relay.Relay"),
    Row("relay", DUTY, "bus.relay.Prune"),
)

ROOMS: tuple[str, ...] = tuple(dict.fromkeys(row.room for row in LINE))
"""Each is a process of its own; in this order `overread up` starts them."""


OPERATOR = "operator"
"""Who types commands: a role on the bus beside the rooms'."""


def rooms(bus_url: str) -> tuple[str, ...]:
    """Return the rooms of a house on this bus."""
    return ROOMS if bus_url else tuple(room for room in ROOMS if room != "relay")


TOPICS: dict[str, Topic] = {
    INSTANCES: Topic(4, 30),
    CANDIDATES: Topic(4, None),
    SCORES: Topic(4, 30),
    READS: Topic(4, 30),
    COMMANDS: Topic(4, 30, forced=True),
    REFUSALS: Topic(4, 30, forced=True),
    FACTS: Topic(4, None, forced=True),
    LIFECYCLE: Topic(1, None),
}
"""Every topic that events go to. `overread topics` makes them on a cluster."""

DEAD_LETTERS: dict[str, Topic] = {
    topic_of(row.consumes.topic, row.room): Topic(1, None) for row in LINE if not isinstance(row.consumes, str)
}
"""Where each room puts what it can't handle of a topic that it hears."""


def hears(room: str) -> frozenset[str]:
    """Return the topics that a room consumes."""
    return frozenset(row.consumes.topic for row in LINE if row.room == room and not isinstance(row.consumes, str))


def needs(room: str) -> frozenset[str]:
    """Return the topics without which a room can't work on a cluster: the relay speaks for all the others."""
    return frozenset(TOPICS | DEAD_LETTERS) if room == "relay" else hears(room)
