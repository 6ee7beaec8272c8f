"""Spend a budget on a pool: the one call behind the trainer's worklist, the experiments and the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import majority, measure, score
from overread_learn.acquisition.bounds import fault
from overread_learn.acquisition.draws import best, lots, percentile, power, randomised, reach
from overread_learn.acquisition.grounds import Grounds
from overread_learn.acquisition.pool import Pool
from overread_learn.acquisition.reference import sums
from overread_learn.acquisition.representatives import apart, clustered, coreset, residuals, seeds
from overread_learn.acquisition.strategy import Strategy, strategy
from overread_learn.acquisition.uncertainty import MEASURES

__all__ = ["Pick", "Selection", "select", "spend"]


@dataclass(frozen=True)
class Pick:
    """One candidate that shall be read.

    ``rank`` is its place in the order of reading, 0 first; ``score`` what the strategy went by: its measure, else the
    deciding number of ``grounds``, else the lot that it drew; None where no one number decided. ``entropy`` (mean of
    the kept patches) and ``diversity`` (scaled mean over their pairs) are AIFT's two terms in nats, normalised as in
    `overread_learn.acquisition.aift.score`, or the papers' raw sums where these were asked for; ``majority`` is the
    number k of patches kept, ``dominant`` the class of largest mean probability. ``propensity`` is the probability with
    which it was included, where the draw knows it. ``grounds`` say what decided among embeddings, where they did.
    """

    id: str
    rank: int
    score: float | None
    entropy: float
    diversity: float
    majority: int
    dominant: int
    propensity: float | None = None
    grounds: Grounds | None = None


class Selection(NamedTuple):
    """A budget spent: the picks, and what decided of anyone in the pool."""

    picks: list[Pick]
    chosen: Strategy
    """Who chose: the strategy, or its cold start."""
    grounds: Callable[[int], Grounds | None]
    """Place in the pool → where the candidate's embedding lies; None where the draw did not look at it."""


def _nothing(_: int) -> None:
    """What is known of embeddings that nobody looked at."""


class _Drawn(NamedTuple):
    """Who was picked, as in `overread_learn.acquisition.draws.Drawn`, and the grounds of anyone, by place in order."""

    indices: list[int]
    propensities: list[float] | None = None
    grounds: Callable[[int], Grounds | None] = _nothing


class _Terms(NamedTuple):
    """AIFT's terms of the whole pool, each (n,)."""

    entropy: NDArray[np.float64]
    diversity: NDArray[np.float64]
    k: NDArray[np.int64]
    dominant: NDArray[np.int64]

    @classmethod
    def empty(cls, count: int) -> "_Terms":
        return cls(np.empty(count), np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64))

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
        if fault(found):
            wrong = next(row for row in range(len(found)) if fault(found[row]))
            raise ValueError(f"candidate {self.pool.ids[int(places[wrong])]}: an embedding is {fault(found[wrong])}")
        return found

    @cached_property
    def labelled(self) -> NDArray[np.floating] | None:
        """The embeddings of what is labelled, (l, d)."""
        found = self.pool.labelled
        if found is not None and fault(found):
            raise ValueError(f"an embedding of what is labelled is {fault(found)}")
        return found


def select(
    pool: Pool, name: str | Strategy, budget: int, *, seed: int, k_ref_m: int, reference: bool = False
) -> list[Pick]:
    """Choose at most ``budget`` candidates, in the order in which they should be read.

    ``k_ref_m`` is the application's nominal number of patches, from which AIFT's reference k follows. Equal pools,
    whatever their order, and equal seeds give equal picks. Until every class has a label (``pool.counts``) a strategy
    with a cold start chooses by that.

    A candidate with one kept patch has no diversity; if a strategy that weighs diversity meets such candidates, every
    score becomes a percentile: of entropy among them, of the score among the others.

    The pool's logits are read in chunks, so they may be larger than memory; besides, it takes some numbers a candidate.
    Embeddings are copied: all of them by badge, coreset and typiclust, the prefilter's alone by +badge.

    ``reference`` ranks by the papers' own arithmetic instead (`overread_learn.acquisition.reference` says where that
    differs): AIFT's measures only, by raw sums that know neither ``k_ref_m`` nor percentiles.

    Raises ValueError on an unknown strategy, a budget below 1, a negative seed, logits or embeddings that are not
    finite or beyond what float32 holds, missing embeddings, and a reference that the papers don't give.
    """
    return spend(pool, name, budget, seed=seed, k_ref_m=k_ref_m, reference=reference).picks


def spend(
    pool: Pool, name: str | Strategy, budget: int, *, seed: int, k_ref_m: int, reference: bool = False
) -> Selection:
    """Choose as `select` does, and keep what decided of those who were not picked."""
    chosen = strategy(name) if isinstance(name, str) else name
    if budget < 1:
        raise ValueError(f"a budget is at least 1, got {budget}")
    if seed < 0:
        raise ValueError(f"a seed is at least 0, got {seed}")
    chosen = chosen.now(pool.counts, pool.logits.shape[1])
    if reference and chosen.measure != "aift":
        raise ValueError(
            f"the papers' arithmetic is that of entropy, diversity, sum and aift-L1-L2, and {chosen.name}, which "
            "chooses now, goes by none of them"
        )
    # Not by NumPy: it would make an array of the longest id's width, and take "a" and "a\0" for equal.
    order = np.fromiter(sorted(range(len(pool)), key=pool.ids.__getitem__), np.int64, len(pool))
    terms = _papers(pool, chosen) if reference else _terms(pool, chosen, k_ref_m)
    scores = _scores(pool, chosen, terms, seed, reference=reference)
    choice = _Choice(pool, order, scores[order], terms.sorted(order), chosen, budget, seed)
    drawn = DRAWS[chosen.draw](choice)
    picks = [_pick(choice, drawn, place) for place in range(len(drawn.indices))]
    at = np.empty(len(order), np.int64)
    at[order] = np.arange(len(order))
    return Selection(picks, chosen, lambda place: drawn.grounds(int(at[place])))


def _pick(choice: _Choice, drawn: _Drawn, place: int) -> Pick:
    index = drawn.indices[place]
    grounds = drawn.grounds(index)
    # Where embeddings alone decided, nobody looked at the lot.
    decided = grounds.deciding if grounds is not None and not choice.chosen.measure else float(choice.scores[index])
    return Pick(
        id=choice.pool.ids[int(choice.order[index])],
        rank=place,
        score=decided,
        entropy=float(choice.terms.entropy[index]),
        diversity=float(choice.terms.diversity[index]),
        majority=int(choice.terms.k[index]),
        dominant=int(choice.terms.dominant[index]),
        propensity=drawn.propensities[place] if drawn.propensities else None,
        grounds=grounds,
    )


def _terms(pool: Pool, chosen: Strategy, k_ref_m: int) -> _Terms:
    terms = _Terms.empty(len(pool))
    k_ref = majority(chosen.alpha, k_ref_m)
    for group in pool.groups():
        found = measure(group.logits, chosen.alpha)
        terms.entropy[group.members] = score(found, k_ref, 1, 0)
        terms.diversity[group.members] = score(found, k_ref, 0, 1)
        terms.k[group.members], terms.dominant[group.members] = found.k, found.dominant
    return terms


def _papers(pool: Pool, chosen: Strategy) -> _Terms:
    """Return the papers' raw sums over the matrix R."""
    terms = _Terms.empty(len(pool))
    for group in pool.groups():
        found = sums(group.logits, chosen.alpha)
        terms.entropy[group.members], terms.diversity[group.members] = found.entropy, found.diversity
        terms.k[group.members], terms.dominant[group.members] = found.k, found.dominant
    return terms


def _scores(pool: Pool, chosen: Strategy, terms: _Terms, seed: int, *, reference: bool) -> NDArray[np.float64]:
    if not chosen.measure:
        return lots(seed, list(pool.ids))
    if chosen.measure != "aift":
        return MEASURES[chosen.measure](pool)
    total = np.asarray(chosen.entropy * terms.entropy + chosen.diversity * terms.diversity)
    single = terms.k == 1
    if chosen.diversity and single.any() and not reference:
        total[single], total[~single] = percentile(terms.entropy[single]), percentile(total[~single])
    return total


def _best(choice: _Choice) -> _Drawn:
    return _Drawn(*best(choice.scores, choice.budget))


def _random(choice: _Choice) -> _Drawn:
    indices = best(choice.scores, choice.budget).indices
    return _Drawn(indices, [len(indices) / len(choice.scores)] * len(indices))


def _randomised(choice: _Choice) -> _Drawn:
    return _Drawn(*randomised(choice.scores, choice.budget, choice.chosen.factor, choice.rng))


def _power(choice: _Choice) -> _Drawn:
    return _Drawn(*power(choice.scores, choice.budget, choice.chosen.factor, choice.rng))


def _stratified(choice: _Choice) -> _Drawn:
    """Random within each predicted class, the classes in turn: an exhausted one leaves its turns to the others."""
    lot = np.argsort(-choice.scores, kind="stable")
    dominant, classes = choice.terms.dominant, choice.pool.logits.shape[1]
    queues = [lot[dominant[lot] == each][: choice.budget] for each in range(classes)]
    turns = [int(index) for turn in zip_longest(*queues) for index in turn if index is not None]
    indices = turns[: choice.budget]
    there, taken = np.bincount(dominant, minlength=classes), np.bincount(dominant[indices], minlength=classes)
    return _Drawn(indices, [float(taken[each] / there[each]) for each in dominant[indices]])


def _badge(choice: _Choice) -> _Drawn:
    within = np.arange(len(choice.pool))
    if choice.chosen.measure:  # a prefilter
        within = np.array(best(choice.scores, reach(choice.chosen.factor, choice.budget)).indices)
    p = choice.pool.probabilities()[choice.order[within]]
    found = seeds(residuals(p), choice.embeddings(within), choice.budget, choice.rng)
    place = {int(index): number for number, index in enumerate(within)}
    return _Drawn(
        [int(within[number]) for number in found.chosen],
        grounds=lambda index: found.grounds(place[index]) if index in place else None,
    )


def _coreset(choice: _Choice) -> _Drawn:
    embeddings = choice.embeddings()
    indices = coreset(embeddings, choice.labelled, choice.budget)
    return _Drawn(indices, grounds=lambda index: apart(embeddings, choice.labelled, indices, index))


def _typiclust(choice: _Choice) -> _Drawn:
    found = clustered(choice.embeddings(), choice.labelled, choice.budget, choice.seed)
    return _Drawn(found.chosen, grounds=found.grounds)


DRAWS: Mapping[str, Callable[[_Choice], _Drawn]] = MappingProxyType(
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
