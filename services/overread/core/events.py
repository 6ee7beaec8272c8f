# long because: all that rooms tell each other is read in one place, from pixels to release
"""The events: everything that one room tells another.

Fields never change their meaning and never disappear; new ones are optional. What a newer sender adds is kept
(`extra="allow"`). No pixels and no identifiers: pseudonyms (core/pseudonyms.py) and blob keys only. x and y are pixel
centres, (0, 0) is the centre of the first pixel, x runs along columns.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from overread.core.corrections import Verdict
from overread.core.splits import Split

INSTANCES = "overread.instance.received.v1"
CANDIDATES = "overread.candidate.received.v1"
SCORES = "overread.candidate.scored.v1"
READS = "overread.read.requested.v1"
COMMANDS = "overread.correction.submitted.v1"
REFUSALS = "overread.correction.refused.v1"
FACTS = "overread.finding.corrected.v1"
LIFECYCLE = "overread.model.lifecycle.v1"


class Event(BaseModel):
    """What all events share: immutable, on one topic, ordered by one key."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    topic: ClassVar[str]
    type: ClassVar[str]

    @property
    def key(self) -> str:
        """Events of one key keep their order."""
        return str(getattr(self, "study"))  # noqa: B009 - declared by the subclasses


class InstanceReceived(Event):
    """gateway: an instance is on disk and was answered with success."""

    topic: ClassVar[str] = INSTANCES
    type: ClassVar[str] = "overread.instance.received.v1"

    instance: str
    series: str
    study: str
    patient: str
    split: Split
    site: str
    """The AE title that sent it."""
    sop_class: str
    modality: str
    blob: str


class StudyPurged(Event):
    """gateway: forget this study. Sent on the instance topic and on the candidate topic."""

    topic: ClassVar[str] = CANDIDATES
    type: ClassVar[str] = "overread.study.purged.v1"

    study: str


class StudyPurgedAtSource(StudyPurged):
    """The same word on the instance topic, where it stays in order with the instances."""

    topic: ClassVar[str] = INSTANCES
    type: ClassVar[str] = "overread.study.purged-at-source.v1"


class Source(StrEnum):
    """Where a candidate came from."""

    SR = "sr"
    GENERATOR = "generator"
    READER = "reader"


class Place(BaseModel):
    """A point in a series."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    series: str
    """Blob key of the series manifest."""
    slice: int
    x: float
    y: float


class CandidateReceived(Event):
    """candidates: a suspicious location in a complete study."""

    topic: ClassVar[str] = CANDIDATES
    type: ClassVar[str] = CANDIDATES

    candidate: str
    study: str
    patient: str
    split: Split
    site: str
    application: str
    source: Source
    producer: str
    """Name and version of the generator, or the CAD's name as its SR gives it."""
    place: Place
    radius_px: float | None = None
    detector_score: float | None = None
    """The source's own score, if it gives one; higher is more suspicious."""


class CandidateScored(Event):
    """inference: what a model says of each patch of a candidate."""

    topic: ClassVar[str] = SCORES
    type: ClassVar[str] = SCORES

    candidate: str
    study: str
    split: Split
    logits: tuple[tuple[float, ...], ...]
    """m patches x classes, before the softmax."""
    probability: float
    """Mean patch probability of the positive class."""
    version: int
    model: str
    """SHA-256 of the ONNX file."""
    provider: str
    """The ONNX Runtime execution provider that really ran."""
    precision: str
    cleared: bool
    """False for the bootstrap model: the score is for selection only and no reader sees it."""
    embedding: str | None = None
    """Mean over the patches of what entered the network's last layer, for strategies that choose by it: float16,
    little-endian, in base64. None where the model gives none."""


class Purpose(StrEnum):
    """Why a candidate is read."""

    ACQUISITION = "acquisition"
    """Ranked by the strategy, counted as budget (train patients)."""
    REFERENCE = "reference"
    """All candidates of validation and locked patients, in random order, never ranked."""
    AUDIT = "audit"
    """A random sample of train patients: rates of error stay estimable."""


class ReadRequested(Event):
    """trainer.selection: please read this one, and why."""

    topic: ClassVar[str] = READS
    type: ClassVar[str] = READS

    candidate: str
    study: str
    purpose: Purpose
    round: int
    rank: int
    """0 is read first. For `reference` and `audit` a position in random order."""
    strategy: str | None = None
    model: str | None = None
    score: float | None = None
    entropy: float | None = None
    diversity: float | None = None
    majority: int | None = None
    """Patches kept by majority selection (k)."""
    propensity: Annotated[float, Field(gt=0, le=1)] | None = None
    """Probability of being among those that were asked for together: of inclusion in a draw without replacement, not of
    one of its steps. 1/propensity weighs the read back to those it was drawn from: the unread of train patients that
    `model` had scored (with `~OMEGA` the best of them), for `audit` those that the strategy left. None where the draw
    knows none: nothing was left to chance, or k-means++ drew."""


class CorrectionSubmitted(Event):
    """A command. Any system may send it; ce_id is the reader's click and makes it idempotent."""

    topic: ClassVar[str] = COMMANDS
    type: ClassVar[str] = COMMANDS

    candidate: str
    study: str
    verdict: Verdict
    reader: str
    expected_version: int
    """The candidate's version that the reader saw (compare and set); 0 for `added`."""
    place: Place | None = None
    """For `amended` and `added`."""
    reason: str | None = None


class Refusal(StrEnum):
    """Why a correction was not accepted."""

    UNKNOWN_CANDIDATE = "unknown-candidate"
    STALE_VERSION = "stale-version"
    PLACE_MISSING = "place-missing"
    OUTSIDE_IMAGE = "outside-image"
    NOTHING_TO_WITHDRAW = "nothing-to-withdraw"
    ALREADY_EXISTS = "already-exists"
    WRONG_STUDY = "wrong-study"


class CorrectionRefused(Event):
    """review: the command was understood and not accepted; nothing changed."""

    topic: ClassVar[str] = REFUSALS
    type: ClassVar[str] = REFUSALS

    correction: str
    """ce_id of the command."""
    candidate: str
    study: str
    reason: Refusal
    detail: str
    current_version: int | None = None


class FindingCorrected(Event):
    """review alone: an accepted correction, with all that is needed to rebuild ledger and labels from it."""

    topic: ClassVar[str] = FACTS
    type: ClassVar[str] = FACTS

    correction: str
    candidate: str
    study: str
    patient: str
    split: Split
    site: str
    application: str
    source: Source
    purpose: Purpose | None
    """Why it was asked for; None where the reader came unasked."""
    version: int
    verdict: Verdict
    reader: str
    reason: str | None = None
    place: Place
    """Where the candidate is now."""
    label: int | None
    """After all readers: 1, 0, or None."""
    agreement: float
    readers: int
    detector_score: float | None = None


class Kind(StrEnum):
    """How a version came to be."""

    BOOTSTRAP = "bootstrap"
    """M0: ImageNet with a new head. Never cleared."""
    ROUND = "round"
    """A round of continual fine-tuning."""
    IMPORTED = "imported"
    """Somebody's ONNX file."""


class ModelEvent(Event):
    """On one partition, so that all see one order of releases."""

    topic: ClassVar[str] = LIFECYCLE

    name: str
    version: int
    sha256: str

    @property
    def key(self) -> str:
        """The model's name."""
        return self.name


class ChallengerRegistered(ModelEvent):
    """trainer.round (or an import): a version stands in the registry."""

    type: ClassVar[str] = "overread.model.registered.v1"

    kind: Kind
    round: int
    parent: int | None = None
    strategy: str | None = None
    labels: int = 0
    auc_validation: float | None = None


class ModelPromoted(ModelEvent):
    """rollout: this version is the champion now."""

    type: ClassVar[str] = "overread.model.promoted.v1"

    previous: int | None = None
    cleared: bool
    first_clearance: bool = False
    """True once: from here on the locked set is closed."""


class ModelRejected(ModelEvent):
    """rollout: this version will not serve. The trainer learns the verdict and the gate, never the locked results."""

    type: ClassVar[str] = "overread.model.rejected.v1"

    outcome: Literal["rejected", "aborted"] = "rejected"
    gate: str


class ModelRolledBack(ModelEvent):
    """rollout: this version was champion and is withdrawn; `restored` serves again (a ModelPromoted says so too)."""

    type: ClassVar[str] = "overread.model.rolledback.v1"

    restored: int


EVENTS: tuple[type[Event], ...] = (
    InstanceReceived,
    StudyPurgedAtSource,
    CandidateReceived,
    StudyPurged,
    CandidateScored,
    ReadRequested,
    CorrectionSubmitted,
    CorrectionRefused,
    FindingCorrected,
    ChallengerRegistered,
    ModelPromoted,
    ModelRejected,
    ModelRolledBack,
)
