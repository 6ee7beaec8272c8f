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
CHUNK = 1 << 12
"""Candidates at once: their (k, k, C) pairs stay within some hundred megabytes."""


def reference(
    logits: NDArray[np.floating], alpha: float, weight_entropy: float, weight_diversity: float
) -> NDArray[np.float64]:
    """Return the sum over the matrix R (Zhou et al., CVPR 2017, Eq. 4) of (n, m, C) logits, (n,) in nats.

    R(j, j) = lambda 1 e_j and R(j, l) = lambda 2 d(j, l), over the k patches of the largest probability of the
    dominant class. Each pair counts twice.
    """
    scores = np.empty(len(logits))
    for start in range(0, len(logits), CHUNK):
        p = patch_probabilities(logits[start : start + CHUNK])
        k = majority(alpha, p.shape[1])
        if k < p.shape[1]:
            dominant = p.mean(axis=1).argmax(axis=1)
            own = np.take_along_axis(p, dominant[:, None, None], axis=2)[..., 0]
            kept = np.argsort(-own, axis=1, kind="stable")[:, :k, None]
            p = np.take_along_axis(p, kept, axis=1)
        log_p = np.log(p + EPSILON)
        entropy = -(p * log_p).sum(axis=(1, 2))
        pairs = ((p[:, :, None] - p[:, None]) * (log_p[:, :, None] - log_p[:, None])).sum(axis=(1, 2, 3))
        scores[start : start + CHUNK] = weight_entropy * entropy + weight_diversity * pairs
    return scores
