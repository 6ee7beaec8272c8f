"""From scores to picks: the best, ACFT's randomised best, and power sampling."""

import hashlib
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import TIE_DIGITS

__all__ = ["Drawn", "best", "levels", "lots", "percentile", "power", "randomised", "reach"]


class Drawn(NamedTuple):
    """Who was picked, and with what probability."""

    indices: list[int]
    """Places in the pool, in the order of reading."""
    propensities: list[float] | None
    """The probability with which each was included; None where nothing was left to chance."""


def best(scores: NDArray[np.float64], count: int) -> Drawn:
    """Take the largest scores; ties, judged at 12 digits, go to the earlier place: the smaller id in a sorted pool."""
    order = np.lexsort([np.arange(len(scores)), -levels(scores)])
    return Drawn([int(index) for index in order[:count]], None)


def reach(omega: float, count: int) -> int:
    """Return how many of the best an extension of ``omega`` times the budget holds: half goes up, at least the budget.

    Not ``int``: 2.3 times 100 is 229.99999999999997.
    """
    return max(count, math.floor(omega * count + 0.5))


def randomised(scores: NDArray[np.float64], count: int, omega: float, rng: np.random.Generator) -> Drawn:
    """Draw ``count`` of the best ``omega * count``, by ACFT's weights (Zhou et al., MedIA 2021, Section 3.4).

    A' = (A - A_last) / (A_first - A_last) within the extension, drawn without replacement by Gumbel keys. The
    propensity of a pick is 1 - exp(-exp(phi - kappa)), phi the logarithm of its weight and kappa the (count + 1)-th
    key. ``omega`` up to 1, or a pool that the extension does not exceed, is the deterministic top.
    """
    extension = best(scores, reach(omega, count)).indices
    if len(extension) <= count:
        return Drawn(extension, None)
    # Ties stand in the order of their ids: by their thirteenth digit they may rise.
    values = np.minimum.accumulate(scores[extension])
    span = values[0] - values[-1]
    tied = span <= _tolerance(values[0])
    weights = np.ones(len(values)) if tied else (values - values[-1]) / span
    # The last one's weight would be zero: it could never be drawn, and never be weighed back.
    phi = np.log(weights + np.finfo(np.float64).eps)
    return _gumbel(np.asarray(extension), phi, count, rng)


def power(scores: NDArray[np.float64], count: int, beta: float, rng: np.random.Generator) -> Drawn:
    """Draw from the whole pool with weights score^beta (Kirsch et al., 2023: power acquisition)."""
    if len(scores) <= count:
        return best(scores, count)
    phi = beta * np.log(np.maximum(scores, 0) + np.finfo(np.float64).eps)
    return _gumbel(np.arange(len(scores)), phi, count, rng)


def _gumbel(members: NDArray[np.int64], phi: NDArray[np.float64], count: int, rng: np.random.Generator) -> Drawn:
    keys = phi + rng.gumbel(size=len(phi))
    order = np.argsort(-keys, kind="stable")
    kappa = keys[order[count]]
    chosen = order[:count]
    # exp overflows beyond 709, which a large beta reaches; from 4 on 1 - exp(-exp(x)) is 1 in float64.
    inclusion = -np.expm1(-np.exp(np.minimum(phi[chosen] - kappa, 700)))
    return Drawn([int(index) for index in members[chosen]], [float(value) for value in inclusion])


def lots(seed: int, ids: list[str]) -> NDArray[np.float64]:
    """Draw for each candidate a number in [0, 1) that depends on the seed and its id alone, (n,).

    So a candidate keeps its place relative to the others while the pool grows or shrinks.
    """
    key = str(seed).encode()
    return np.array(
        [
            (int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()) >> 11) / 2**53
            for name in ids
        ]  # 53 bits are what fits a float64 exactly
    )


def levels(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each value's place among the distinct ones, lowest 0, (n,); neighbours within 12 digits count as one.

    Comparing neighbours, rather than rounding, never parts two equal scores that lie on either side of a rounding edge.
    """
    order = np.argsort(values)
    ascending = values[order]
    level = np.empty(len(values), dtype=np.int64)
    level[order] = np.concatenate([[0], np.cumsum(np.diff(ascending) > _tolerance(ascending[1:]))])
    return level


def _tolerance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10.0**-TIE_DIGITS * np.maximum(1, np.abs(values)))


def percentile(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's mid-rank over the number of values, within (0, 1); ties share theirs."""
    if not len(values):
        return values
    _, inverse, counts = np.unique(levels(values), return_inverse=True, return_counts=True)
    midrank: NDArray[np.float64] = np.cumsum(counts) - counts / 2
    return midrank[inverse] / len(values)
