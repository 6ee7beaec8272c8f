"""Spend a budget on a pool: the one call behind the trainer's worklist, the experiments and the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import majority, measure, score
from overread_learn.acquisition.draws import Drawn, best, lots, percentile, power, randomised
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
    """All that a draw may look at; the pool's places are sorted by id, so that its order never matters."""

    pool: Pool
    scores: NDArray[np.float64]
    terms: _Terms
    budget: int
    seed: int
    factor: float

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def select(pool: Pool, name: str | Strategy, budget: int, *, seed: int, k_ref_m: int) -> list[Pick]:
    """Choose at most ``budget`` candidates, in the order in which they should be read.

    ``k_ref_m`` is the application's nominal number of patches, from which AIFT's reference k follows. Equal pools,
    whatever their order, and equal seeds give equal picks. Until every class has a label (``pool.counts``) a strategy
    with a cold start chooses by that.

    A candidate with one kept patch has no diversity; if a strategy that weighs diversity meets such candidates, every
    score becomes a percentile: of entropy among them, of the score among the others.

    Raises ValueError on an unknown strategy, a budget below 1, logits that are not finite, and on missing embeddings.
    """
    chosen = strategy(name) if isinstance(name, str) else name
    if budget < 1:
        raise ValueError(f"a budget is at least 1, got {budget}")
    classes = pool.logits.shape[1]
    if chosen.cold and sum(1 for count in pool.counts.values() if count) < classes:
        chosen = strategy(chosen.cold)
    order = np.argsort(np.asarray(pool.ids), kind="stable")
    terms = _terms(pool, chosen, k_ref_m)
    scores = _scores(pool, chosen, terms, seed)
    choice = _Choice(_sorted(pool, order), scores[order], terms.sorted(order), budget, seed, chosen.factor)
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


def _sorted(pool: Pool, order: NDArray[np.int64]) -> Pool:
    """Return what the draws need of the pool in the order of its ids: they look at no patch."""
    if (order == np.arange(len(order))).all():
        return pool
    mean = pool.probabilities()[order]
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(mean), -np.finfo(np.float32).max)
    return Pool(
        [pool.ids[int(index)] for index in order],
        logits,
        np.arange(len(order) + 1),
        None if pool.embeddings is None else pool.embeddings[order],
        pool.labelled,
        pool.counts,
    )


def _best(choice: _Choice) -> Drawn:
    return best(choice.scores, choice.budget)


def _randomised(choice: _Choice) -> Drawn:
    return randomised(choice.scores, choice.budget, choice.factor, choice.rng)


def _power(choice: _Choice) -> Drawn:
    return power(choice.scores, choice.budget, choice.factor, choice.rng)


def _stratified(choice: _Choice) -> Drawn:
    """Random within each predicted class, the classes in turn: an exhausted one leaves its turns to the others."""
    lot = np.argsort(-choice.scores, kind="stable")
    queues = [list(lot[choice.terms.dominant[lot] == each]) for each in range(choice.pool.logits.shape[1])]
    chosen: list[int] = []
    while len(chosen) < choice.budget and any(queues):
        chosen.extend(int(queue.pop(0)) for queue in queues if queue)
    return Drawn(chosen[: choice.budget], None)


def _badge(choice: _Choice) -> Drawn:
    features = choice.pool.needed_embeddings("badge")
    within = np.arange(len(choice.pool))
    if choice.factor:  # a prefilter: only the best omega times the budget
        within = np.array(best(choice.scores, int(choice.factor * choice.budget)).indices)
    places = badge(choice.pool.probabilities()[within], features[within], choice.budget, choice.rng)
    return Drawn([int(within[place]) for place in places], None)


def _coreset(choice: _Choice) -> Drawn:
    features = choice.pool.needed_embeddings("coreset")
    return Drawn(coreset(features, choice.pool.labelled, choice.budget), None)


def _typiclust(choice: _Choice) -> Drawn:
    features = choice.pool.needed_embeddings("typiclust")
    return Drawn(typiclust(features, choice.pool.labelled, choice.budget, choice.seed), None)


DRAWS: Mapping[str, Callable[[_Choice], Drawn]] = MappingProxyType(
    {
        "best": _best,
        "random": _best,
        "randomised": _randomised,
        "power": _power,
        "stratified": _stratified,
        "badge": _badge,
        "coreset": _coreset,
        "typiclust": _typiclust,
    }
)
