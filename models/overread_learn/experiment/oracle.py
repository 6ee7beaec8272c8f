"""How far could anyone get? Two choices that see what nobody can, as marks on the wall; no strategies to use.

`ORACLE` sees the pool's labels before it asks for them, and evens out the classes. `FORESIGHT` also sees what would
come of it: each round it lets every one of `PROPOSALS` choose, learns from each choice, and keeps the one whose network
ranks the test patients best. It is greedy selection over whole batches, with the test's answers in hand: no honest
strategy can expect as much of these proposals. Neither is a proof of how far a choice that nobody proposed could get.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.representatives import seeds

__all__ = ["FORESIGHT", "MARKS", "ORACLE", "PROPOSALS", "oracle"]

ORACLE = "oracle"
FORESIGHT = "foresight"
MARKS = frozenset({ORACLE, FORESIGHT})
"""Names that a comparison takes beside the registry's."""

PROPOSALS = (ORACLE, "random", "stratified", "margin", "badge", "typiclust", "diversity@.25", "sum@.25", "acft")
"""Whose choices foresight weighs: every family of the registry, and the choice that sees the labels. Nine runs each."""


def oracle(
    truth: NDArray[np.integer],
    probabilities: NDArray[np.float64],
    embeddings: NDArray[np.floating],
    answered: Sequence[int],
    budget: int,
    seed: int,
) -> list[int]:
    """Choose places in the pool: as many of each class as would make the answers even, spread by their true gradients.

    ``truth`` (n,), ``probabilities`` (n, C), ``embeddings`` (n, d); ``answered`` are the labels so far. Within a class
    it is k-means++ on the gradients that the true labels would send back: candidates that would change the network
    much, and each in another way.
    """
    classes = probabilities.shape[1]
    rng = np.random.default_rng(seed)
    have = np.bincount(np.asarray(answered, np.int64), minlength=classes)
    left = np.bincount(truth, minlength=classes)
    wanted = np.zeros(classes, np.int64)
    for _ in range(min(budget, len(truth))):
        open_classes = np.flatnonzero(wanted < left)
        wanted[open_classes[(have + wanted)[open_classes].argmin()]] += 1
    chosen: list[int] = []
    for each in range(classes):
        members = np.flatnonzero(truth == each)
        residual = probabilities[members].copy()
        residual[:, each] -= 1
        if wanted[each]:
            found = seeds(residual, embeddings[members], int(wanted[each]), rng)
            chosen += [int(members[place]) for place in found.chosen]
    return chosen
