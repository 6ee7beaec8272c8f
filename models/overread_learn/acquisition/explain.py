"""Why a candidate was picked: its patches one by one, and the terms that they add to the score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import by_log_odds, majority, measure, score
from overread_learn.acquisition.patterns import pattern
from overread_learn.acquisition.pool import patch_probabilities
from overread_learn.acquisition.strategy import Strategy, strategy

__all__ = ["Explanation", "Patch", "explain"]


@dataclass(frozen=True)
class Patch:
    """One patch: its probabilities, whether majority selection kept it, and what it adds.

    ``entropy`` and ``diversity`` are its shares, in nats, of the candidate's two terms: its own entropy, and its pairs
    with the other kept patches, a row of AIFT's matrix. Of a patch that was not kept both are 0.
    """

    probabilities: tuple[float, ...]
    kept: bool
    entropy: float
    diversity: float


@dataclass(frozen=True)
class Explanation:
    """A candidate under a strategy.

    ``entropy`` and ``diversity`` are AIFT's terms and the sums of the patches' shares; the strategy weighs them by its
    lambda 1 and 2 if it is one of AIFT's. ``margin`` is the difference of the two likeliest classes, near 0 where the
    network wavers (the measure of that name ranks by 1 less it), ``jsd`` the patches' Jensen-Shannon divergence.
    ``pattern`` is one of AIFT's seven (`overread_learn.acquisition.patterns`), of the last class's probabilities.
    ``sentence`` says the same in words.
    """

    strategy: str
    dominant: int
    majority: int
    entropy: float
    diversity: float
    margin: float
    jsd: float
    pattern: str
    patches: tuple[Patch, ...]
    sentence: str


def explain(logits: NDArray[np.floating], name: str | Strategy, k_ref_m: int | None = None) -> Explanation:
    """Explain a candidate from its patches' logits, (m, C); ``k_ref_m`` is the application's nominal m, m if left out.

    Raises ValueError on an unknown strategy and on logits that are not finite or of another shape.
    """
    chosen = strategy(name) if isinstance(name, str) else name
    found = measure(logits[None], chosen.alpha)
    k, count = found.k, len(logits)
    p = patch_probabilities(logits)
    dominant = int(found.dominant[0])
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=1, keepdims=True)
    kept = np.zeros(count, bool)
    kept[by_log_odds(z[None], found.dominant)[0, :k]] = True
    entropies = _entropy(p)
    # The sum of a row of the matrix, sum_l d(j, l): by the closed form k times the patch's own product and their mean.
    products = ((p - p[kept].mean(axis=0)) * (z - z[kept].mean(axis=0))).sum(axis=1)
    shares = np.where(kept, np.maximum(k * (products + products[kept].mean()), 0), 0)
    nominal = majority(chosen.alpha, count if k_ref_m is None else k_ref_m)
    entropy, diversity = float(score(found, nominal, 1, 0)[0]), float(score(found, nominal, 0, 1)[0])
    scale = diversity / found.diversity[0] if found.diversity[0] > 0 else 0.0
    mean = np.sort(p.mean(axis=0))
    shape = pattern(p[:, -1])
    return Explanation(
        strategy=chosen.name,
        dominant=dominant,
        majority=k,
        entropy=entropy,
        diversity=diversity,
        margin=float(mean[-1] - mean[-2]),
        jsd=float(max(0.0, _entropy(p.mean(axis=0)[None])[0] - entropies.mean())),
        pattern=shape,
        patches=tuple(
            Patch(
                tuple(float(value) for value in p[index]),
                bool(kept[index]),
                float(entropies[index] / k) if kept[index] else 0.0,
                float(shares[index] * scale),
            )
            for index in range(count)
        ),
        sentence=_sentence(chosen, shape, (entropy, diversity), (k, count)),
    )


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1))


_SHAPES = {
    "A": "all patches are near one half",
    "B": "the patches say everything from 0 to 1",
    "C": "half of the patches say the opposite of the others",
    "D": "all patches say no",
    "E": "all patches say yes",
    "F": "the patches say no, with some outliers",
    "G": "the patches say yes, with some outliers",
}


def _sentence(chosen: Strategy, shape: str, terms: tuple[float, float], kept: tuple[int, int]) -> str:
    words = f"{_SHAPES[shape]} (pattern {shape})"
    if chosen.measure == "aift":
        weighed = f"{chosen.entropy:g} x entropy {terms[0]:.3g} + {chosen.diversity:g} x diversity {terms[1]:.3g}"
        words += f"; {weighed} nats over the {kept[0]} of {kept[1]} patches that were kept"
    elif chosen.measure:
        words += f"; ranked by {chosen.measure}"
    if chosen.draw == "badge":
        words += "; far, in gradient space, from the others that were picked"
    return words
