"""What each patch adds to the terms of its candidate."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import by_log_odds, measure, score
from overread_learn.acquisition.pool import patch_probabilities
from overread_learn.acquisition.reference import matrix, sums

__all__ = ["Patch", "Shares", "entropies", "gradient_shares", "our_shares", "papers_shares"]


@dataclass(frozen=True)
class Patch:
    """One patch: its probabilities, whether majority selection kept it, and what it adds.

    ``entropy`` and ``diversity`` are its shares, in nats, of the candidate's two terms: its own entropy, and its pairs
    with the other kept patches, a row of AIFT's matrix. Of a patch that was not kept both are 0. ``gradient`` is its
    share of the length of the candidate's gradient, where BADGE looked at that: negative where it pulls the other way.
    """

    probabilities: tuple[float, ...]
    kept: bool
    entropy: float
    diversity: float
    gradient: float | None = None


class Shares(NamedTuple):
    """A candidate's two terms, and the part of each of its m patches."""

    entropy: float
    diversity: float
    k: int
    dominant: int
    kept: NDArray[np.bool_]
    entropies: NDArray[np.float64]
    """(m,), in nats; their sum is ``entropy``."""
    diversities: NDArray[np.float64]
    """(m,), in nats; their sum is ``diversity``."""


def our_shares(logits: NDArray[np.floating], alpha: float, k_ref: int) -> Shares:
    """Share out what `overread_learn.acquisition.aift` says of one candidate's (m, C) logits; its errors."""
    found = measure(logits[None], alpha)
    k, p = found.k, patch_probabilities(logits)
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=1, keepdims=True)
    kept = np.zeros(len(logits), bool)
    kept[by_log_odds(z[None], p[None], found.dominant)[0, :k]] = True
    # The sum of a row of the matrix, sum_l d(j, l): by the closed form k times the patch's own product and their mean.
    products = ((p - p[kept].mean(axis=0)) * (z - z[kept].mean(axis=0))).sum(axis=1)
    rows = np.where(kept, np.maximum(k * (products + products[kept].mean()), 0), 0)
    entropy, diversity = float(score(found, k_ref, 1, 0)[0]), float(score(found, k_ref, 0, 1)[0])
    scale = diversity / found.diversity[0] if found.diversity[0] > 0 else 0.0
    own = np.where(kept, entropies(p) / k, 0)
    return Shares(entropy, diversity, k, int(found.dominant[0]), kept, own, rows * scale)


def papers_shares(logits: NDArray[np.floating], alpha: float) -> Shares:
    """Share out what `overread_learn.acquisition.reference` says of one candidate's (m, C) logits; its errors."""
    found = sums(logits[None], alpha)
    places, pairs = matrix(logits, alpha)
    count = len(logits)
    kept, own, rows = np.zeros(count, bool), np.zeros(count), np.zeros(count)
    kept[places] = True
    own[places] = pairs.diagonal()
    rows[places] = pairs.sum(axis=1) - pairs.diagonal()
    return Shares(float(found.entropy[0]), float(found.diversity[0]), found.k, int(found.dominant[0]), kept, own, rows)


def gradient_shares(p: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Share out the length of a candidate's gradient among its patches, whose probabilities are ``p`` (m, C); (m,).

    The gradient is (mean p - one-hot of the likeliest class) times the embedding, and the first factor is the mean over
    the patches of p_j - one-hot: each patch's share is how far its own reaches along that mean, over m.
    """
    own = p.copy()
    own[:, p.mean(axis=0).argmax()] -= 1
    mean = own.mean(axis=0)
    square = float(mean @ mean)
    return np.asarray(own @ mean / (len(p) * square) * length if square > 0 else np.zeros(len(p)))


def entropies(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropies of probabilities (..., C) in nats, (...)."""
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1))
