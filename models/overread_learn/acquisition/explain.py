"""Why a candidate was picked: its patches one by one, and the terms that they add to the score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import measure, score
from overread_learn.acquisition.patterns import pattern
from overread_learn.acquisition.pool import patch_probabilities
from overread_learn.acquisition.strategy import Strategy, strategy

__all__ = ["Explanation", "Patch", "explain"]


@dataclass(frozen=True)
class Patch:
    """One patch: its probabilities, whether majority selection kept it, and what it adds.

    ``entropy`` and ``diversity`` are its shares, in nats, of the candidate's two terms; of a patch that was not kept
    both are 0.
    """

    probabilities: tuple[float, ...]
    kept: bool
    entropy: float
    diversity: float


@dataclass(frozen=True)
class Explanation:
    """A candidate under a strategy.

    ``entropy`` and ``diversity`` are AIFT's terms and the sums of the patches' shares; the strategy weighs them by its
    lambda 1 and 2 if it is one of AIFT's. ``margin`` and ``jsd`` are the other measures. ``pattern`` is one of AIFT's
    seven (`overread_learn.acquisition.patterns`). ``sentence`` says the same in words.
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
    kept = np.zeros(count, bool)
    kept[_kept(logits, dominant, k)] = True
    z = np.asarray(logits, dtype=np.float64)
    entropies = _entropy(p)
    # One patch's share of the closed form: its pairs with all others that were kept.
    centred = (p - p[kept].mean(axis=0)) * (z - z[kept].mean(axis=0))
    shares = np.where(kept, 2 * k * centred.sum(axis=1), 0)
    nominal = max(1, int(np.floor(chosen.alpha * (k_ref_m or count) + 0.5)))
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


def _kept(logits: NDArray[np.floating], dominant: int, k: int) -> NDArray[np.int64]:
    """Return the k patches of the largest log-odds of the dominant class, as `measure` keeps them."""
    z = np.asarray(logits, dtype=np.float64)
    others = np.delete(z, dominant, axis=1)
    peak = others.max(axis=1)
    odds = z[:, dominant] - peak - np.log(np.exp(others - peak[:, None]).sum(axis=1))
    return np.argsort(-odds, kind="stable")[:k]


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
