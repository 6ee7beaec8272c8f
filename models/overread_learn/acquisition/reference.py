"""AIFT's score as the authors compute it, for comparison: raw sums over all pairs, an epsilon in the logarithm.

It loses what saturated probabilities have lost, takes O(k^2), and cannot compare candidates of different m. The trainer
uses `overread_learn.acquisition.aift`.
"""

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import majority
from overread_learn.acquisition.pool import patch_probabilities

__all__ = ["EPSILON", "reference"]

EPSILON = 2.2e-16
CHUNK = 1 << 18
"""Entries of the (k, k, C) pairs at once. They stay in the processor's cache: four times as many take longer."""


def reference(
    logits: NDArray[np.floating], alpha: float, weight_entropy: float, weight_diversity: float
) -> NDArray[np.float64]:
    """Return the sum over the matrix R (Zhou et al., CVPR 2017, Eq. 4) of (n, m, C) logits, (n,) in nats.

    R(j, j) = lambda 1 e_j and R(j, l) = lambda 2 d(j, l), over the k patches of the largest probability of the
    dominant class. Each pair counts twice.
    """
    scores = np.empty(len(logits))
    k = majority(alpha, logits.shape[1])
    step = max(1, CHUNK // (k * k * logits.shape[2]))
    for start in range(0, len(logits), step):
        p = patch_probabilities(logits[start : start + step])
        if k < p.shape[1]:
            dominant = p.mean(axis=1).argmax(axis=1)
            own = np.take_along_axis(p, dominant[:, None, None], axis=2)[..., 0]
            kept = np.argsort(-own, axis=1, kind="stable")[:, :k, None]
            p = np.take_along_axis(p, kept, axis=1)
        log_p = np.log(p + EPSILON)
        entropy = -(p * log_p).sum(axis=(1, 2))
        pairs = ((p[:, :, None] - p[:, None]) * (log_p[:, :, None] - log_p[:, None])).sum(axis=(1, 2, 3))
        scores[start : start + step] = weight_entropy * entropy + weight_diversity * pairs
    return scores
