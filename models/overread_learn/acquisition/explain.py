"""Why a candidate was picked: its patches one by one, and the terms that they add to the score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import by_log_odds, majority, measure, score
from overread_learn.acquisition.patterns import pattern
from overread_learn.acquisition.pool import Pool, patch_probabilities
from overread_learn.acquisition.reasons import Terms, sentence
from overread_learn.acquisition.select import Pick, select
from overread_learn.acquisition.strategy import Strategy, strategy
from overread_learn.acquisition.uncertainty import MEASURES

__all__ = ["Explanation", "Patch", "explain", "explain_picks"]


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
    """A candidate under a strategy, ``strategy`` the name of the one that chooses now: perhaps a cold start.

    ``entropy`` and ``diversity`` are AIFT's terms and the sums of the patches' shares; the strategy weighs them by its
    lambda 1 and 2 if it is one of AIFT's. ``margin`` is the difference of the two likeliest classes, near 0 where the
    network wavers (the measure of that name ranks by 1 less it), ``jsd`` the patches' Jensen-Shannon divergence.
    ``value`` is that of the strategy's own measure, None where it measures nothing. ``pick`` is what `select` says of
    the candidate, None where it was not picked or nobody asked.
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
    value: float | None
    pattern: str
    patches: tuple[Patch, ...]
    sentence: str
    pick: Pick | None = None


def explain(
    logits: NDArray[np.floating],
    name: str | Strategy,
    k_ref_m: int | None = None,
    counts: Mapping[int, int] | None = None,
) -> Explanation:
    """Explain a candidate from its patches' logits, (m, C); ``k_ref_m`` is the application's nominal m, m if left out.

    ``counts`` are the labels so far by class: until each class has one, a strategy's cold start is what is explained.
    None means that the cold start is over. `explain_picks` says more, for it knows the others too.

    Raises ValueError on an unknown strategy and on logits that are not finite or of another shape.
    """
    asked = strategy(name) if isinstance(name, str) else name
    return _explained(logits, asked, k_ref_m, counts, None, "")


def explain_picks(
    pool: Pool, ids: Sequence[str], name: str | Strategy, budget: int, *, seed: int, k_ref_m: int
) -> dict[str, Explanation]:
    """Explain candidates of a pool by what `select` does with the same arguments: their place, their lot, their terms.

    Raises KeyError on an id that the pool lacks, and what `select` raises.
    """
    asked = strategy(name) if isinstance(name, str) else name
    place = {each: index for index, each in enumerate(pool.ids)}
    picks = select(pool, asked, budget, seed=seed, k_ref_m=k_ref_m)
    chosen = asked.now(pool.counts, pool.logits.shape[1])
    ranks = {pick.id: pick for pick in picks}
    single = any(majority(chosen.alpha, int(size)) == 1 for size in np.unique(np.diff(pool.offsets)))
    percentile = chosen.measure == "aift" and bool(chosen.diversity) and single
    found = {}
    for each in ids:
        logits, pick = pool.of_candidate(place[each]), ranks.get(each)
        fate = f"not among the {len(picks)} picks of this budget"
        if pick is not None:
            fate = f"pick {pick.rank + 1} of {len(picks)}"
            if percentile:
                fate += f", its score {pick.score:.3g} a percentile, for some candidates keep one patch alone"
            fate += _lot(chosen, pick) + _distance(pool, chosen, picks, pick, place)
        found[each] = _explained(logits, asked, k_ref_m, pool.counts, pick, fate)
    return found


def _lot(chosen: Strategy, pick: Pick) -> str:
    """Say what chance had to do with a pick."""
    lot = f", its lot {pick.score:.3g}" if not chosen.measure and chosen.draw in {"random", "stratified"} else ""
    return lot + (f", with propensity {pick.propensity:.3g}" if pick.propensity is not None else "")


def _distance(pool: Pool, chosen: Strategy, picks: Sequence[Pick], pick: Pick, place: Mapping[str, int]) -> str:
    """Say how far a pick of coreset was from all that is labelled and was picked before."""
    if chosen.draw != "coreset" or pool.embeddings is None:
        return ""
    own = np.asarray(pool.embeddings[place[pick.id]], np.float64)
    earlier = [np.asarray(pool.embeddings[place[one.id]], np.float64) for one in picks[: pick.rank]]
    others = [*(np.asarray(pool.labelled, np.float64) if pool.labelled is not None else ()), *earlier]
    if not others:
        return ", the one nearest to the middle"
    return f", {min(float(np.linalg.norm(own - other)) for other in others):.3g} from the nearest of them"


def _explained(
    logits: NDArray[np.floating],
    asked: Strategy,
    k_ref_m: int | None,
    counts: Mapping[int, int] | None,
    pick: Pick | None,
    fate: str,
) -> Explanation:
    chosen = asked if counts is None else asked.now(counts, logits.shape[-1])
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
    weighed = chosen.entropy * entropy + chosen.diversity * diversity
    alone = Pool.of(["it"], [logits], counts=counts)
    value = (
        weighed if chosen.measure == "aift" else float(MEASURES[chosen.measure](alone)[0]) if chosen.measure else None
    )
    return Explanation(
        strategy=chosen.name,
        dominant=dominant,
        majority=k,
        entropy=entropy,
        diversity=diversity,
        margin=float(mean[-1] - mean[-2]),
        jsd=float(max(0.0, _entropy(p.mean(axis=0)[None])[0] - entropies.mean())),
        value=value,
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
        sentence=sentence(asked, chosen, shape, Terms(entropy, diversity, value, dominant, k, count), fate),
        pick=pick,
    )


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1))
