"""How far could anyone get? A choice that sees the labels before it asks for them.

No strategy that anybody could use: it stands in a comparison as a mark on the wall, not as a proof, since a greedy
choice need not be the best one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.representatives import farthest_gradients

__all__ = ["ORACLE", "oracle"]

ORACLE = "oracle"


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
            places = farthest_gradients(residual, embeddings[members], int(wanted[each]), rng)
            chosen += [int(members[place]) for place in places]
    return chosen
