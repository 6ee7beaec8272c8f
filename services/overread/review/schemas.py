"""The JSON of the REST API. Places are pixel centres: (0, 0) is the centre of the first pixel."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from overread.core.corrections import REASON_AT_MOST, Verdict
from overread.core.events import Purpose, Source

Pseudonym = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
BlobKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Point(BaseModel):
    """A place in a series: its manifest's blob key, the 0-based slice, the pixel's centre."""

    model_config = ConfigDict(extra="forbid")

    series: BlobKey
    slice: int = Field(ge=0)
    x: float = Field(allow_inf_nan=False)
    y: float = Field(allow_inf_nan=False)


class Correction(BaseModel):
    """What a reader says of a candidate."""

    model_config = ConfigDict(extra="forbid")

    candidate: Pseudonym
    study: Pseudonym
    verdict: Verdict
    place: Point | None = None
    """For `amended` and `added`."""
    reason: str | None = Field(None, max_length=REASON_AT_MOST)


class Corrected(BaseModel):
    """The accepted correction: the candidate's new version, and its label after all readers."""

    correction: str
    candidate: str
    version: int
    verdict: Verdict
    label: int | None
    agreement: float
    readers: int


class WorklistItem(BaseModel):
    """One read that waits."""

    candidate: str
    study: str
    purpose: Purpose
    round: int
    rank: int
    version: int
    place: Point
    score: float | None
    """Only where the model that gave it is cleared for readers."""
    model_cleared: bool


class Remaining(BaseModel):
    """Candidates that wait, by purpose."""

    acquisition: int
    reference: int
    audit: int


class Worklist(BaseModel):
    """Reads in the order in which they are to be read."""

    items: list[WorklistItem]
    remaining: Remaining


class Candidate(BaseModel):
    """A candidate as it stands."""

    candidate: str
    study: str
    version: int
    source: Source
    producer: str | None
    place: Point
    radius_px: float | None
    score: float | None
    model_cleared: bool
    label: int | None
    agreement: float
    readers: int


class Said(BaseModel):
    """One entry of the ledger."""

    correction: str
    version: int
    verdict: Verdict
    reader: str
    reason: str | None
    place: Point
    time: datetime


class CandidateWithVerdicts(Candidate):
    """A candidate with all that readers said of it, oldest first."""

    verdicts: list[Said]


class Study(BaseModel):
    """A study's candidates and the series in which they stand."""

    study: str
    series: list[str]
    candidates: list[Candidate]


class Instance(BaseModel):
    """Which instance and frame a slice shows."""

    instance: str
    frame: int


class Series(BaseModel):
    """How to show a series; `instances` has one entry a slice."""

    modality: str
    rows: int
    columns: int
    slices: int
    samples: int
    """1 grey, 3 RGB."""
    spacing_mm: float | None
    stack: bool
    instances: list[Instance]


class InstancePlace(BaseModel):
    """Where an instance stands."""

    series: str
    slice: int
    study: str


class Model(BaseModel):
    """The model that serves."""

    version: int
    sha256: str
    cleared: bool


class Status(BaseModel):
    """The room at a glance; `model` is null before the first score."""

    model: Model | None
    corrections: dict[Verdict, int]
    remaining: Remaining
