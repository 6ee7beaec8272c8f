"""Which patients teach, which steer, which judge.

Patients, not images, are split, once and for ever: by the site's own list where it has one, else by keyed hash. The
locked set closes at the first clearance of a model: later patients are divided between train and validation only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from overread.core.errors import Misconfigured
from overread.core.pseudonyms import Pseudonyms


class Split(StrEnum):
    """A patient's part. `train` patients are ranked; `validation` and `locked` ones are read completely."""

    TRAIN = "train"
    VALIDATION = "validation"
    LOCKED = "locked"


@dataclass(frozen=True)
class SplitPolicy:
    """Shares of patients, and a list of patients whose part is given (keys are pseudonyms)."""

    validation: float = 0.15
    locked: float = 0.25
    given: Mapping[str, Split] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.validation > 0 and self.locked > 0 and self.validation + self.locked < 1):
            raise Misconfigured("split shares: validation and locked must be above 0 and sum to less than 1")

    def assign(self, patient: str, pseudonyms: Pseudonyms, *, locked_closed: bool) -> Split:
        """The split of a patient that was never seen before. Whoever calls this stores the answer."""
        if patient in self.given:
            return self.given[patient]
        share = pseudonyms.share("split", patient)
        if share < self.locked:
            if not locked_closed:
                return Split.LOCKED
            # Spread what would have been locked over the other two in their own proportion.
            share = self.locked + share / self.locked * (1 - self.locked)
        return Split.VALIDATION if share < self.locked + self.validation else Split.TRAIN
