"""How unsure the network is of a candidate as a whole: the measures beside AIFT's.

All are functions of the patch probabilities p_j of one candidate and of their mean over its patches.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.pool import Pool, patch_probabilities

__all__ = ["MEASURES", "fewest", "least_confidence", "margin", "patch_jsd", "rarest"]


def margin(pool: Pool) -> NDArray[np.float64]:
    """Return 1 - (the largest mean probability - the second largest), (n,), within 0..1 (Scheffer et al., 2001)."""
    ordered = np.sort(pool.probabilities(), axis=1)
    return np.asarray(1 - (ordered[:, -1] - ordered[:, -2]))


def least_confidence(pool: Pool) -> NDArray[np.float64]:
    """Return 1 - the largest mean probability, (n,) (Lewis & Gale, SIGIR 1994)."""
    return np.asarray(1 - pool.probabilities().max(axis=1))


def patch_jsd(pool: Pool) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence of the patches, H(mean p) - mean H(p_j), (n,) in nats, at most log C.

    It is what BALD (Houlsby et al., 2011) measures over draws of the network, here over augmented patches.
    """
    found = np.empty(len(pool))
    for group in pool.groups():
        p = patch_probabilities(group.logits)
        found[group.members] = _entropy(p.mean(axis=1)) - _entropy(p).mean(axis=1)
    return np.maximum(found, 0)


def rarest(pool: Pool) -> NDArray[np.float64]:
    """Return the mean probability of the class that has the fewest labels so far, (n,): certainty sampling.

    Where a pool is mostly easy negatives, what it lacks most is the other class. Equal counts, and no counts at all,
    mean the last class.
    """
    return pool.probabilities()[:, fewest(pool.counts, pool.logits.shape[1])]


def fewest(counts: Mapping[int, int], classes: int) -> int:
    """Return the class with the fewest labels (``counts`` by class); of equal counts the last."""
    return min(reversed(range(classes)), key=lambda each: counts.get(each, 0))


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    # A probability that underflowed to zero contributes nothing; its logarithm must not be asked for.
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1))


MEASURES: Mapping[str, Callable[[Pool], NDArray[np.float64]]] = MappingProxyType(
    {"margin": margin, "least-confidence": least_confidence, "patch-jsd": patch_jsd, "rarest": rarest}
)
