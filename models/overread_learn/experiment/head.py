"""A learner that trains the last layer alone, on embeddings that the frozen trunk gave once for all."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from overread_learn.experiment.learner import Learner, Scored
from overread_learn.finetune import Recipe, finetune
from overread_learn.nets import Classifier

__all__ = ["HeadLearner"]


class LinearHead(nn.Module):
    """A linear layer with the names that `overread_learn.finetune` looks for."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.arch, self.classes, self.head = "linear", classes, "last"
        last = nn.Linear(inputs, classes)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(OrderedDict(last=last))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Map (n, d) to logits, (n, classes)."""
        logits: torch.Tensor = self.net(embeddings)
        return logits


@dataclass(frozen=True)
class _Rows:
    """Answered candidates as samples: one of a candidate's m embeddings, each as likely as the others."""

    embeddings: NDArray[np.float32]
    indices: Sequence[int]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        own: NDArray[np.float32] = self.embeddings[self.indices[index]]
        one: NDArray[np.float32] = own[rng.integers(len(own))]
        return one


@dataclass
class HeadLearner(Learner):
    """Trains the last layer. ``cache`` is a file for the embeddings, which every process shares.

    Each feature is brought to mean 0 and deviation 1 over the train patients' candidates, which needs no label: the
    application's rates then suit every trunk. (SqueezeNet's raw features, about 90 long, made 800 labels of chest
    radiographs no better than 200.)

    A linear layer on mean embeddings is what SqueezeNet's last convolution is too, but for the place of its dropout:
    there is none here.
    """

    cache: Path = field(kw_only=True)

    def start(self, seed: int) -> Classifier:
        """Return a new head; the trunk stands in the embeddings."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return LinearHead(self._embeddings().shape[2], len(self.application.classes)).eval()  # type: ignore[return-value]

    def blank(self, seed: int) -> Classifier:
        """Return a new head: on a frozen trunk, training from scratch is what every start is."""
        return self.start(seed)

    def fit(self, parent: Classifier, answers: Mapping[int, int], *, seed: int, phase: str) -> Classifier:
        """Fine-tune a copy of the head on answers; errors as in `Learner.fit`."""
        indices = sorted(answers)
        samples = _Rows(self._embeddings(), indices, np.array([answers[index] for index in indices], np.int64))
        return finetune(parent, samples, None, self.learning(phase, seed)).model

    def learning(self, phase: str, seed: int) -> Recipe:
        """Return how the protocol learns in a phase: from scratch as in the first, for no start here knows anything."""
        return super().learning("first" if phase == "scratch" else phase, seed)

    def score(self, model: Classifier, indices: Sequence[int]) -> Scored:
        """Score candidates from their embeddings."""
        rows = self._embeddings()[list(indices)]
        with torch.inference_mode():
            logits = model(torch.from_numpy(rows)).numpy()
        return Scored(logits, rows.mean(axis=1))

    def compute(self) -> None:
        """Run the trunk once over every candidate's patches and keep the standardised embeddings, (n, m, d)."""
        if self.cache.exists():
            return
        found = self._run(Learner.start(self, 0), range(len(self.material)))
        rows = np.stack([embeddings for _, embeddings in found])
        train = rows[~self.material.test].reshape(-1, rows.shape[2])
        deviation = np.maximum(train.std(axis=0), np.finfo(np.float32).eps)  # a feature that never varies stays 0
        partial = self.cache.with_suffix(".part.npy")
        np.save(partial, ((rows - train.mean(axis=0)) / deviation).astype(np.float32))
        partial.replace(self.cache)

    def _embeddings(self) -> NDArray[np.float32]:
        if self._mapped is None:
            self._mapped = np.load(self.cache, mmap_mode="r")
        return self._mapped

    _mapped: NDArray[np.float32] | None = field(default=None, init=False, repr=False)
