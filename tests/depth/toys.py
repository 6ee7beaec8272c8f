"""Candidates that a small network learns within a second: a positive is bright in its middle."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from overread_learn.depth import Held
from overread_learn.finetune import Recipe
from overread_learn.nets import Classifier

RECIPE = Recipe(rate=0.01, head_rate=0.05, gamma=0.9, epochs=3, momentum=0.9, batch=8, seed=1, balance=False)


@dataclass
class Toy:
    """Samples that count how often they are drawn from."""

    labels: NDArray[np.integer]
    drawn: int = field(default=0, compare=False)

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        self.drawn += 1
        patch = rng.normal(size=(3, 32, 32)).astype(np.float32)
        patch[:, 12:20, 12:20] += 2 * self.labels[index]
        return patch


def held(labels: NDArray[np.integer], name: str = "held") -> Held:
    """Two patches a candidate, every second with one more; six patients in turn."""
    rng, toy = np.random.default_rng(99), Toy(labels)
    patches = [np.stack([toy.draw(index, rng) for _ in range(2 + index % 2)]) for index in range(len(labels))]
    return Held(patches, labels, [f"{name} {index % 6}" for index in range(len(labels))])


def pairs(count: int) -> NDArray[np.integer]:
    """Labels 0, 0, 1, 1, 0, 0, ..."""
    return np.arange(count) // 2 % 2


def furthest(one: Classifier, two: Classifier) -> float:
    """Return the largest difference between two networks' weights and statistics."""
    theirs = two.state_dict()
    assert theirs.keys() == one.state_dict().keys()
    return max((value.double() - theirs[name].double()).abs().max().item() for name, value in one.state_dict().items())


def learning(model: torch.nn.Module) -> set[str]:
    """Name the parameters that are not frozen."""
    return {name for name, value in model.named_parameters() if value.requires_grad}
