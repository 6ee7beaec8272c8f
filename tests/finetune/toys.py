"""Candidates that a small network learns within seconds."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from overread_learn.finetune import Recipe
from overread_learn.nets import Classifier

RECIPE = Recipe(rate=0.01, head_rate=0.05, gamma=0.9, epochs=4, momentum=0.9, batch=8, seed=1, balance=False)


def patch(label: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A positive is bright in its middle."""
    drawn = rng.normal(size=(3, 32, 32)).astype(np.float32)
    drawn[:, 12:20, 12:20] += 2 * label
    return drawn


@dataclass
class Toy:
    labels: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return patch(int(self.labels[index]), rng)


def validation(count: int = 12) -> tuple[list[NDArray[np.float32]], NDArray[np.integer]]:
    rng = np.random.default_rng(99)
    labels = np.arange(count) % 2
    return [np.stack([patch(int(label), rng) for _ in range(2 + label)]) for label in labels], labels


def same(one: Classifier, two: Classifier) -> bool:
    theirs = two.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())
