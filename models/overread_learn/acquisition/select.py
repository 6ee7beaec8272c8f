"""Spend a budget on a pool: the one call behind the trainer's worklist, the experiments and the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import majority, measure, score
from overread_learn.acquisition.draws import Drawn, best, lots, percentile, power, randomised, reach
from overread_learn.acquisition.pool import Pool
from overread_learn.acquisition.representatives import badge, coreset, typiclust
from overread_learn.acquisition.strategy import Strategy, strategy
from overread_learn.acquisition.uncertainty import MEASURES

__all__ = ["Pick", "select"]


@dataclass(frozen=True)
class Pick:
    """One candidate that shall be read.

    ``rank`` is its place in the order of reading, 0 first; ``score`` what the strategy gave it (its random number where
    it measures nothing). ``entropy`` (mean of the kept patches) and ``diversity`` (scaled mean over their pairs) are
    AIFT's two terms in nats, normalised as in `overread_learn.acquisition.aift.score`; ``majority`` is the number k of
    patches kept, ``dominant`` the class of largest mean probability. ``propensity`` is the probability with which it
    was included, where the draw knows it.
    """

    id: str
    rank: int
    score: float
    entropy: float
    diversity: float
    majority: int
    dominant: int
    propensity: float | None = None


class _Terms(NamedTuple):
    """AIFT's terms of the whole pool, each (n,)."""

    entropy: NDArray[np.float64]
    diversity: NDArray[np.float64]
    k: NDArray[np.int64]
    dominant: NDArray[np.int64]

    def sorted(self, order: NDArray[np.int64]) -> "_Terms":
        return _Terms(self.entropy[order], self.diversity[order], self.k[order], self.dominant[order])


@dataclass(frozen=True)
class _Choice:
    """All that a draw may look at, in the order of the candidates' ids, so that the pool's own order never matters."""

    pool: Pool
    order: NDArray[np.int64]
    """(n,), the pool's places in the order of their ids."""
    scores: NDArray[np.float64]
    terms: _Terms
    chosen: Strategy
    budget: int
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def embeddings(self, within: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.floating]:
        """Copy the embeddings of some candidates, (w, d): of a pool larger than memory, no more than these."""
        places = self.order[within]
        found = self.pool.needed_embeddings(self.chosen.name)[places]
        wrong = ~np.isfinite(found).all(axis=1)
        if wrong.any():
            raise ValueError(f"candidate {self.pool.ids[int(places[wrong][0])]}: an embedding is not finite")
        return found


def select(pool: Pool, name: str | Strategy, budget: int, *, seed: int, k_ref_m: int) -> list[Pick]:
    """Choose at most ``budget`` candidates, in the order in which they should be read.

    ``k_ref_m`` is the application's nominal number of patches, from which AIFT's reference k follows. Equal pools,
    whatever their order, and equal seeds give equal picks. Until every class has a label (``pool.counts``) a strategy
    with a cold start chooses by that.

    A candidate with one kept patch has no diversity; if a strategy that weighs diversity meets such candidates, every
    score becomes a percentile: of entropy among them, of the score among the others.

    The pool's logits are read in chunks, so they may be larger than memory; besides, it takes some numbers a candidate.
    Embeddings are copied: all of them by badge, coreset and typiclust, the prefilter's alone by +badge.

    Raises ValueError on an unknown strategy, a budget below 1, a negative seed, logits or embeddings that are not
    finite, and on missing embeddings.
    """
    chosen = strategy(name) if isinstance(name, str) else name
    if budget < 1:
        raise ValueError(f"a budget is at least 1, got {budget}")
    if seed < 0:
        raise ValueError(f"a seed is at least 0, got {seed}")
    chosen = chosen.now(pool.counts, pool.logits.shape[1])
    # Not by NumPy: it would make an array of the longest id's width, and take "a" and "a\0" for equal.
    order = np.fromiter(sorted(range(len(pool)), key=pool.ids.__getitem__), np.int64, len(pool))
    terms = _terms(pool, chosen, k_ref_m)
    scores = _scores(pool, chosen, terms, seed)
    choice = _Choice(pool, order, scores[order], terms.sorted(order), chosen, budget, seed)
    drawn = DRAWS[chosen.draw](choice)
    return [
        Pick(
            id=pool.ids[int(order[index])],
            rank=place,
            score=float(choice.scores[index]),
            entropy=float(choice.terms.entropy[index]),
            diversity=float(choice.terms.diversity[index]),
            majority=int(choice.terms.k[index]),
            dominant=int(choice.terms.dominant[index]),
            propensity=drawn.propensities[place] if drawn.propensities else None,
        )
        for place, index in enumerate(drawn.indices)
    ]


def _terms(pool: Pool, chosen: Strategy, k_ref_m: int) -> _Terms:
    count = len(pool)
    terms = _Terms(np.empty(count), np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64))
    k_ref = majority(chosen.alpha, k_ref_m)
    for group in pool.groups():
        found = measure(group.logits, chosen.alpha)
        terms.entropy[group.members] = score(found, k_ref, 1, 0)
        terms.diversity[group.members] = score(found, k_ref, 0, 1)
        terms.k[group.members], terms.dominant[group.members] = found.k, found.dominant
    return terms


def _scores(pool: Pool, chosen: Strategy, terms: _Terms, seed: int) -> NDArray[np.float64]:
    if not chosen.measure:
        return lots(seed, list(pool.ids))
    if chosen.measure != "aift":
        return MEASURES[chosen.measure](pool)
    total = np.asarray(chosen.entropy * terms.entropy + chosen.diversity * terms.diversity)
    single = terms.k == 1
    if chosen.diversity and single.any():
        total[single], total[~single] = percentile(terms.entropy[single]), percentile(total[~single])
    return total


def _best(choice: _Choice) -> Drawn:
    return best(choice.scores, choice.budget)


def _random(choice: _Choice) -> Drawn:
    indices = best(choice.scores, choice.budget).indices
    return Drawn(indices, [len(indices) / len(choice.scores)] * len(indices))


def _randomised(choice: _Choice) -> Drawn:
    return randomised(choice.scores, choice.budget, choice.chosen.factor, choice.rng)


def _power(choice: _Choice) -> Drawn:
    return power(choice.scores, choice.budget, choice.chosen.factor, choice.rng)


def _stratified(choice: _Choice) -> Drawn:
    """Random within each predicted class, the classes in turn: an exhausted one leaves its turns to the others."""
    lot = np.argsort(-choice.scores, kind="stable")
    dominant, classes = choice.terms.dominant, choice.pool.logits.shape[1]
    queues = [lot[dominant[lot] == each][: choice.budget] for each in range(classes)]
    turns = [int(index) for turn in zip_longest(*queues) for index in turn if index is not None]
    indices = turns[: choice.budget]
    there, taken = np.bincount(dominant, minlength=classes), np.bincount(dominant[indices], minlength=classes)
    return Drawn(indices, [float(taken[each] / there[each]) for each in dominant[indices]])


def _badge(choice: _Choice) -> Drawn:
    within = np.arange(len(choice.pool))
    if choice.chosen.measure:  # a prefilter
        within = np.array(best(choice.scores, reach(choice.chosen.factor, choice.budget)).indices)
    p = choice.pool.probabilities()[choice.order[within]]
    places = badge(p, choice.embeddings(within), choice.budget, choice.rng)
    return Drawn([int(within[place]) for place in places], None)


def _coreset(choice: _Choice) -> Drawn:
    return Drawn(coreset(choice.embeddings(), choice.pool.labelled, choice.budget), None)


def _typiclust(choice: _Choice) -> Drawn:
    return Drawn(typiclust(choice.embeddings(), choice.pool.labelled, choice.budget, choice.seed), None)


DRAWS: Mapping[str, Callable[[_Choice], Drawn]] = MappingProxyType(
    {
        "best": _best,
        "random": _random,
        "randomised": _randomised,
        "power": _power,
        "stratified": _stratified,
        "badge": _badge,
        "coreset": _coreset,
        "typiclust": _typiclust,
    }
)
