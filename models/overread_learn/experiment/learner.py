"""Who learns and scores in an experiment: the very fine-tuning and scoring of the deployed service."""

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.experiment.material import Material, Subset
from overread_learn.experiment.protocol import Protocol
from overread_learn.export import export
from overread_learn.finetune import Recipe, finetune, recipe
from overread_learn.nets import Classifier, build
from overread_learn.scoring import Scorer

__all__ = ["Learner", "Scored", "use_threads"]


class Scored(NamedTuple):
    """What a network says of some candidates."""

    logits: NDArray[np.float32]
    """(n, m, classes)."""
    embeddings: NDArray[np.float32]
    """(n, d), the mean over the patches."""


@dataclass
class Learner:
    """Trains the whole network.

    ``weights`` is a file of pretrained weights, or None for random ones; ``threads`` those of one process.
    """

    material: Material
    protocol: Protocol
    weights: Path | None
    threads: int = 1

    def start(self, seed: int) -> Classifier:
        """Return M0: pretrained where there are weights, with a new head."""
        return build(self.protocol.arch, len(self.application.classes), self.weights, seed)

    def blank(self, seed: int) -> Classifier:
        """Return a network of random weights."""
        return build(self.protocol.arch, len(self.application.classes), None, seed)

    @property
    def application(self) -> Application:
        """The application."""
        return self.material.application

    def compute(self) -> None:
        """Compute what all runs share, once: nothing, where the whole network learns."""

    def fit(self, parent: Classifier, answers: Mapping[int, int], *, seed: int, phase: str) -> Classifier:
        """Fine-tune a copy of ``parent`` on answers (candidate's place to label); the last epoch's network is kept.

        Raises OneClass where the answers are all of one class, Diverged.
        """
        indices = sorted(answers)
        samples = Subset(self.material, indices, np.array([answers[index] for index in indices], np.int64))
        return finetune(parent, samples, None, self.learning(phase, seed)).model

    def learning(self, phase: str, seed: int) -> Recipe:
        """Return how the protocol learns in a phase."""
        protocol = self.protocol
        return recipe(
            self.application,
            seed=seed,
            random_start=self.weights is None or phase == "scratch",
            phase=phase if protocol.rates == "papers" else None,
            epochs=protocol.epochs,
            batch=protocol.batch,
            balance=protocol.balance,
        )

    def score(self, model: Classifier, indices: Sequence[int]) -> Scored:
        """Score candidates by their first patches, in the way of the deployed service: exported, by ONNX Runtime."""
        found = self._run(model, indices)
        return Scored(
            np.stack([logits for logits, _ in found]), np.stack([embeddings.mean(axis=0) for _, embeddings in found])
        )

    def _run(self, model: Classifier, indices: Sequence[int]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return each candidate's logits (m, C) and embeddings (m, d)."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export(model, self.application, path, extra={})
            scorer = Scorer(path)

        def one(index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            logits, embeddings = scorer.embed(self.material.patches(index, self.protocol.patches))
            assert embeddings is not None  # noqa: S101 - the exporter wrote them a moment ago
            return logits, embeddings

        with ThreadPoolExecutor(self.threads) as threads:
            return list(threads.map(one, indices))


def use_threads(count: int) -> None:
    """Let torch use so many threads in this process."""
    torch.set_num_threads(count)
