"""Candidates of a folder under an exported model: a pool to choose from, or scores to judge."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from overread_learn.acquisition import Pool
from overread_learn.experiment.candidate_set import read
from overread_learn.experiment.material import Material, gather
from overread_learn.printing import err
from overread_learn.scoring import Scorer

__all__ = ["Scores", "score", "scored_pool"]


class Scores(NamedTuple):
    """What a model says of a folder's labelled candidates, in the material's order."""

    material: Material
    logits: NDArray[np.float32]
    """(n, m, classes)."""
    embeddings: NDArray[np.float32] | None
    """(n, d), the mean over the patches."""


def score(candidates: Path, model: Path) -> Scores:
    """Score every candidate of a set that has a label. Raises what reading either raises."""
    scorer = Scorer(model)
    with tempfile.TemporaryDirectory() as folder:
        material = gather(read(candidates), scorer.application, Path(folder))
        found = [
            scorer.embed(material.patches(index))
            for index in track(range(len(material)), "scoring", console=err, transient=True)
        ]
    embeddings = [each.mean(axis=0) for _, each in found if each is not None]
    return Scores(
        material,
        np.stack([logits for logits, _ in found]),
        np.stack(embeddings) if len(embeddings) == len(found) else None,
    )


def scored_pool(candidates: Path, model: Path) -> Pool:
    """Return the train patients' candidates as a pool."""
    found = score(candidates, model)
    train = np.flatnonzero(~found.material.test)
    return Pool.of(
        [found.material.ids[index] for index in train],
        found.logits[train],
        embeddings=None if found.embeddings is None else found.embeddings[train],
    )
