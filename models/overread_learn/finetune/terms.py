"""What a training is given and what it says: the recipe, the samples, and a report an epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["EpochReport", "Recipe", "Samples", "Validation"]

Validation = tuple[Sequence[NDArray[np.float32]], NDArray[np.integer]]
"""Each held-out candidate's patches, (m_i, 3, s, s), and the labels, (n,)."""


@dataclass(frozen=True)
class Recipe:
    """How to learn. ``rate`` is the trunk's, ``head_rate`` the head's; ``gamma`` multiplies both each epoch.

    ``batch`` is the smallest batch (a remainder joins the others; 1 is as 2). ``balance`` draws all classes equally
    often, as many candidates an epoch as there are. ``seed`` fixes order, augmentation and dropout.
    """

    rate: float
    head_rate: float
    gamma: float
    epochs: int
    momentum: float
    batch: int
    seed: int
    balance: bool

    def __post_init__(self) -> None:
        """Refuse a recipe that would train nothing."""
        if self.epochs < 1 or self.batch < 1 or min(self.rate, self.head_rate) < 0:
            raise ValueError(f"a recipe needs epochs >= 1, batch >= 1 and rates >= 0, got {self}")


class Samples(Protocol):
    """Labelled candidates to learn from."""

    @property
    def labels(self) -> NDArray[np.integer]:
        """(n,), 0..C-1."""

    def __len__(self) -> int:
        """Return n."""

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one augmented patch of a candidate, (3, s, s)."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch, counted from 1: its mean cross-entropy (nats), the trunk's rate, and the validation AUC after it.

    ``auc`` is nan where there is no validation.
    """

    epoch: int
    loss: float
    rate: float
    auc: float
