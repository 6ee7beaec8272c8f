"""AIFT's entropy and diversity of a candidate's patches (Zhou et al., CVPR 2017, Eq. 1-4 and Section 3.3).

Everything starts from logits z, for a saturated probability has lost what the score needs. Entropy of a patch is
``logsumexp(z) - sum p z``; the diversity of all ordered pairs of k patches has the closed form
``2 k sum_c sum_j (p_jc - mean p_c)(z_jc - mean z_c)``, in which the log-normaliser cancels: no log 0, no epsilon, and
O(k) instead of O(k^2).
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.bounds import fault

__all__ = ["Measure", "by_log_odds", "majority", "measure", "score"]

BINARY = 2
TIE_DIGITS = 12
CHUNK = 1 << 15
"""Logits worked on at once, however many patches they are of: what is made of them stays in the processor's cache."""


_Part: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


class Measure(NamedTuple):
    """Sums over the patches that majority selection kept, for n candidates with the same number of patches."""

    entropy: NDArray[np.float64]
    """(n,), sum of the k patch entropies, in nats."""
    diversity: NDArray[np.float64]
    """(n,), sum of the symmetric Kullback-Leibler divergence over all k x k ordered pairs, in nats."""
    dominant: NDArray[np.int64]
    """(n,), class with the largest mean probability over all m patches."""
    k: int
    """How many of the m patches were kept."""


def majority(alpha: float, patches: int) -> int:
    """Return k = max(1, floor(alpha m + 1/2)), the number of patches that majority selection keeps.

    Half goes up (alpha 1/4: 10 gives 3), unlike Python's ``round``.
    """
    return max(1, math.floor(alpha * patches + 0.5))


def measure(logits: NDArray[np.floating], alpha: float) -> Measure:
    """Measure n candidates of m patches over C classes at once; logits are (n, m, C), any float dtype.

    Majority selection: the dominant class is the argmax of the mean probability (a tie, judged at 12 digits, goes to
    the lower class index: negative, when binary), and the k patches with the largest log-odds of that class stay.
    Log-odds, since probabilities saturate at 1. Raises ValueError where a logit is not finite or beyond what float32
    holds, or a shape is wrong.
    """
    if logits.ndim != 3 or logits.shape[1] < 1 or logits.shape[2] < BINARY:  # candidate, patch, class
        raise ValueError(f"logits must be (candidates, patches >= 1, classes >= 2), got {logits.shape}")
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be above 0 and at most 1, got {alpha}")
    count, patches, classes = logits.shape
    k = majority(alpha, patches)
    step = max(1, CHUNK // (patches * classes))
    entropy, diversity = np.empty(count), np.empty(count)
    dominant = np.empty(count, dtype=np.int64)
    for start in range(0, count, step):
        part = slice(start, start + step)
        z = np.asarray(logits[part], dtype=np.float64)
        if fault(z):
            raise ValueError(f"a logit is {fault(z)}")
        entropy[part], diversity[part], dominant[part] = _binary(z, k) if classes == BINARY else _general(z, k)
    return Measure(entropy, diversity, dominant, k)


def score(found: Measure, k_ref: int, weight_entropy: float, weight_diversity: float) -> NDArray[np.float64]:
    """Weigh entropy and diversity so that candidates of different k compare; (n,) in nats.

    ``weight_entropy H/k + weight_diversity (k_ref - 1) D/(k (k - 1))``: the sum over AIFT's matrix R, divided by k,
    wherever k = k_ref. A raw sum would grow with k, and plain means of both would let entropy drown diversity.
    With k = 1 there is no pair: the second term is then 0, and it is the caller's task not to mix the units.
    """
    pairs = max(1, found.k * (found.k - 1))
    # Where the nominal k is itself 1, the mean over pairs stands alone rather than vanish.
    return weight_entropy * found.entropy / found.k + weight_diversity * max(1, k_ref - 1) * found.diversity / pairs


def _binary(z: NDArray[np.float64], k: int) -> _Part:
    """Measure (n, m, 2): everything follows from the log-odds d = z1 - z0, at a fraction of the general way's time.

    Patches come first, (m, n): sums over them then run along the memory, and take half of the time.
    """
    if len(z) == 1:  # NumPy would add one column in another order, and a score must not depend on who stands beside it
        twice = _binary(np.repeat(z, 2, axis=0), k)
        return twice[0][:1], twice[1][:1], twice[2][:1]
    d = z[..., 1] - z[..., 0]
    by_patch = np.ascontiguousarray(d.T)
    p, unlikely, rest = _sigmoid(by_patch)
    mean = p.mean(axis=0)
    dominant = np.round(mean, TIE_DIGITS) > 0.5  # Eq. 1: a tie is negative
    if k < d.shape[1]:
        # Equal log-odds are equal patches here: no tie to break.
        d *= np.where(dominant, 1, -1)[:, None]
        d.sort(axis=1)
        by_patch = np.ascontiguousarray(d[:, -k:].T)
        p, unlikely, rest = _sigmoid(by_patch)
        mean = p.mean(axis=0)
    # In place from here on: memory that is asked for and given back costs more than the sums.
    rest *= unlikely
    rest *= np.abs(by_patch)
    entropy = _sum_log1p(unlikely)
    entropy += rest.sum(axis=0)
    # Both classes contribute the same product, and d is the difference of their logits.
    p -= mean
    by_patch -= by_patch.mean(axis=0)
    p *= by_patch
    return entropy, np.maximum(2 * k * p.sum(axis=0), 0), dominant.astype(np.int64)


def _sigmoid(d: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return 1 / (1 + exp(-d)), u = exp(-|d|) and 1 / (1 + u), none of which can overflow."""
    unlikely = np.abs(d)
    np.negative(unlikely, out=unlikely)
    np.exp(unlikely, out=unlikely)
    rest = 1 / (1 + unlikely)
    p = np.maximum(unlikely, d > 0)  # u is at most 1: this is `where`, without its branches
    p *= rest
    return p, unlikely, rest


def _sum_log1p(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over j of log(1 + u_j), (n,) of (k, n) in 0..1, at one logarithm for sixteen.

    A logarithm of each was a quarter of the binary way's time. (1 + a) (1 + b) = 1 + (a + b + a b), in which no small u
    is lost beside the 1; sixteen factors are at most 2^16.
    """
    for _ in range(4):
        half, odd = divmod(len(u), 2)
        a, b = u[:half], u[half : 2 * half]
        product = a * b
        product += a
        product += b
        u = np.concatenate([product, u[-1:]]) if odd else product
    total: NDArray[np.float64] = np.log1p(u).sum(axis=0)
    return total


def _general(z: NDArray[np.float64], k: int) -> _Part:
    """Measure (n, m, C) for any number of classes."""
    # A common offset of 1e4 would cost ten digits.
    z = z - z.max(axis=2, keepdims=True)
    p = _softmax(z)
    dominant = np.round(p.mean(axis=1), TIE_DIGITS).argmax(axis=1)
    kept = by_log_odds(z, p, dominant)[:, :k, None]
    z, p = np.take_along_axis(z, kept, axis=1), np.take_along_axis(p, kept, axis=1)
    entropy = np.log(np.exp(z).sum(axis=2)) - (p * z).sum(axis=2)
    centred = z - z.mean(axis=1, keepdims=True)
    diversity = 2 * k * ((p - p.mean(axis=1, keepdims=True)) * centred).sum(axis=(1, 2))
    # Both are sums of non-negative terms; rounding may leave a -1e-17.
    return np.maximum(entropy.sum(axis=1), 0), np.maximum(diversity, 0), dominant


def _softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    exponential = np.exp(z)
    total: NDArray[np.float64] = exponential.sum(axis=2, keepdims=True)
    return exponential / total


def by_log_odds(z: NDArray[np.float64], p: NDArray[np.float64], dominant: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order each candidate's patches by falling log-odds of its dominant class, (n, m): the first k are kept.

    ``z`` (n, m, C) are logits less each patch's largest, ``p`` their probabilities, ``dominant`` (n,) a class each.
    """
    own = np.take_along_axis(z, dominant[:, None, None], axis=2)[..., 0]
    # Sorted before they are summed, so that a permutation of the classes cannot change the last digit.
    ascending = np.sort(z, axis=2)
    others = z.copy()
    np.put_along_axis(others, dominant[:, None, None], -np.inf, axis=2)
    others.sort(axis=2)
    peak = others[..., -1]
    log_odds = own - (peak + np.log(np.exp(others - peak[..., None]).sum(axis=2)))
    # Equal log-odds break by the sorted logits, then by how far a patch agrees with the others: both are blind to the
    # order of the classes. What is left are mirror images, in the order of their logits.
    agreement = np.round((p * p.mean(axis=1, keepdims=True)).sum(axis=2), TIE_DIGITS)
    keys = [*np.moveaxis(z, 2, 0), -agreement, *np.moveaxis(ascending, 2, 0), -log_odds]
    return np.lexsort(keys, axis=1)
