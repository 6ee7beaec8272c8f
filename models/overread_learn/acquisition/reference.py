"""AIFT's score as the authors compute it, for comparison: raw sums over all pairs, an epsilon in the logarithm.

`select` and `explain_picks` rank by it with ``reference=True``, `overread-learn select` and `explain` with
``--reference``. The share alpha, its rounding (half up), the dominant class and all draws are the same as ours, the
papers' choice of patches and scores is theirs. It differs from `overread_learn.acquisition.aift` in this:

- The score is the raw sum over the matrix R (Zhou et al., CVPR 2017, Eq. 4). It grows with k and k^2, so candidates of
  more patches outrank others. Ours divides by k and scales the mean over pairs: the same order where all have the
  nominal number of patches.
- Logarithms are of p + 2.2e-16. From there on certain patches look alike: no divergence of two patches exceeds about
  72 nats, where ours grows with the logits.
- Where k = 1 there is no pair, and the score is of entropy alone; ours then takes percentiles.
- The k patches kept are those of the largest probability; from about 37 nats on all are 1.0, and the first ones stay.
  Ours orders them by log-odds.
- A tie of the mean probability is judged on the last digit, not at twelve.

It takes O(k^2). The trainer uses `overread_learn.acquisition.aift`.
"""

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import Measure, majority
from overread_learn.acquisition.bounds import fault
from overread_learn.acquisition.pool import patch_probabilities

__all__ = ["EPSILON", "matrix", "reference", "sums"]

EPSILON = 2.2e-16
CHUNK = 1 << 16
"""Entries of one class's (k, k) pairs at once. They stay in the processor's cache: four times as many take longer."""


def reference(
    logits: NDArray[np.floating], alpha: float, weight_entropy: float, weight_diversity: float
) -> NDArray[np.float64]:
    """Return the sum over the matrix R (Zhou et al., CVPR 2017, Eq. 4) of (n, m, C) logits, (n,) in nats.

    R(j, j) = lambda 1 e_j and R(j, l) = lambda 2 d(j, l), over the k patches of the largest probability of the
    dominant class. Each pair counts twice. Errors as `overread_learn.acquisition.aift.measure`.
    """
    found = sums(logits, alpha)
    return weight_entropy * found.entropy + weight_diversity * found.diversity


def sums(logits: NDArray[np.floating], alpha: float) -> Measure:
    """Return both sums over R unweighed, of (n, m, C) logits, in nats, with the dominant class and k."""
    count, patches, _ = logits.shape
    k = majority(alpha, patches)
    entropy, diversity, dominant = np.empty(count), np.empty(count), np.empty(count, np.int64)
    step = max(1, CHUNK // (k * k))
    for start in range(0, count, step):
        part = slice(start, start + step)
        if fault(logits[part]):
            raise ValueError(f"a logit is {fault(logits[part])}")
        p = patch_probabilities(logits[part])
        kept, dominant[part] = _kept(p, k)
        if k < patches:  # else the order would change nothing but the last digit
            p = np.take_along_axis(p, kept[..., None], axis=1)
        log_p = np.log(p + EPSILON)
        entropy[part] = -(p * log_p).sum(axis=(1, 2))
        # Class by class: with the classes, two as a rule, innermost, NumPy would take three times as long.
        diversity[part] = sum(
            ((a[:, :, None] - a[:, None]) * (b[:, :, None] - b[:, None])).sum(axis=(1, 2))
            for a, b in zip(np.moveaxis(p, 2, 0).copy(), np.moveaxis(log_p, 2, 0).copy(), strict=True)
        )
    return Measure(entropy, diversity, dominant, k)


def matrix(logits: NDArray[np.floating], alpha: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which patches of one candidate's (m, C) logits are kept, (k,), and their R unweighed, (k, k) in nats."""
    p = patch_probabilities(logits)
    kept = _kept(p[None], majority(alpha, len(p)))[0][0]
    p, log_p = p[kept], np.log(p[kept] + EPSILON)
    pairs: NDArray[np.float64] = ((p[:, None] - p) * (log_p[:, None] - log_p)).sum(axis=2)
    pairs[np.diag_indices(len(p))] = -(p * log_p).sum(axis=1)
    return kept, pairs


def _kept(p: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the k patches of the largest probability of the dominant class, (n, k), and that class, (n,)."""
    dominant = p.mean(axis=1).argmax(axis=1)
    own = np.take_along_axis(p, dominant[:, None, None], axis=2)[..., 0]
    return np.argsort(-own, axis=1, kind="stable")[:, :k], dominant
