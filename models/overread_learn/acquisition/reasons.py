"""The words of an explanation: what a strategy went by, and with what result."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from overread_learn.acquisition.grounds import Apart, Gradient, Grounds, Typical
from overread_learn.acquisition.representatives import SMALLEST_CLUSTER
from overread_learn.acquisition.strategy import Strategy

__all__ = ["Terms", "among", "sentence"]


class Terms(NamedTuple):
    """What is known of a candidate, as in `overread_learn.acquisition.explain.Explanation`."""

    entropy: float
    diversity: float
    value: float | None
    pattern: str
    of: str
    """How the class is called that the pattern is of; empty of two classes, where yes and no say it."""
    mean: float
    """That class's mean probability."""
    dominant: str
    """How the likeliest class is called."""
    rarest: str
    """How the class with the fewest labels is called."""
    k: int
    patches: int
    reference: bool


_TWO: Mapping[str, str] = MappingProxyType(
    {
        "A": "all patches are near one half",
        "B": "the patches say everything from 0 to 1",
        "C": "half of the patches say the opposite of the others",
        "D": "all patches say no",
        "E": "all patches say yes",
        "F": "the patches say no, with some outliers",
        "G": "the patches say yes, with some outliers",
    }
)
_MORE: Mapping[str, str] = MappingProxyType(
    {
        "A": "all patches waver about it",
        "B": "the patches give it everything from 0 to 1",
        "C": "half of the patches are for it, the others against it",
        "D": "all patches give it little",
        "E": "all patches give it much",
        "F": "the patches give it little, with some outliers",
        "G": "the patches give it much, with some outliers",
    }
)
"""Of one class among several: a no to it is a yes to nobody knows which other."""
_MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "margin": "1 less the difference of the two likeliest classes",
        "least-confidence": "1 less the probability of the likeliest class",
        "patch-jsd": "the Jensen-Shannon divergence of the patches, in nats",
        "rarest": "the probability of {rarest}, which has the fewest labels",
    }
)


def sentence(asked: Strategy, chosen: Strategy, terms: Terms, fate: str) -> str:
    """Return in words why a candidate stands where it does.

    ``asked`` is the strategy by its name, ``chosen`` who chooses now: another one during a cold start. ``fate`` is what
    became of the candidate, empty where nobody knows.
    """
    shape = _TWO[terms.pattern]
    if terms.of:
        shape = f"{terms.of} is the likeliest, {terms.mean:.3g} on average, and {_MORE[terms.pattern]}"
    words = [f"{shape} (pattern {terms.pattern})"]
    if chosen is not asked:
        words.append(f"not every class has a label yet, so {chosen.name}, the cold start of {asked.name}, chooses")
    if chosen.measure == "aift":
        weighed = f"{chosen.entropy:g} x entropy {terms.entropy:.3g} + {chosen.diversity:g} x diversity"
        sums = ", the papers' sums" if terms.reference else ""
        words.append(
            f"{weighed} {terms.diversity:.3g} nats{sums} over the {terms.k} of {terms.patches} patches that were kept"
        )
    elif chosen.measure:
        what = _MEASURES[chosen.measure].format(rarest=terms.rarest)
        words.append(f"{chosen.measure} {terms.value:.3g} ({what})")
    words.append(_drawn(chosen, terms))
    return "; ".join(filter(None, [*words, fate]))


def _drawn(chosen: Strategy, terms: Terms) -> str:
    """Say how a strategy picks by its measure, or without one."""
    best = f"among the best {chosen.factor:g} times the budget"
    return {
        "best": "the largest are picked",
        "random": "every candidate alike, by lot",
        "stratified": f"by lot, equally many of each predicted class; this one is predicted {terms.dominant}",
        "randomised": f"drawn by lot {best}, the larger the likelier",
        "power": f"drawn by lot from all, the weight of each its measure to the power of {chosen.factor:g}",
        "badge": "drawn by lot, the likelier the farther, in gradient space, from the others that were picked"
        + (f", {best}" if chosen.measure else ""),
        "coreset": "the farthest, by its embedding, from all that is labelled and the picks before it",
        "typiclust": "the most typical, by its embedding, of a cluster that the fewest labels and earlier picks cover, "
        f"those below {SMALLEST_CLUSTER} members last",
    }[chosen.draw]


def among(chosen: Strategy, grounds: Grounds | None, rank: int | None) -> str:
    """Say where a candidate's embedding lies, and what that decided; ``rank`` is None of one that was not picked."""
    if isinstance(grounds, Gradient):
        return _gradient(grounds, rank)
    if isinstance(grounds, Apart):
        if grounds.distance is None:
            return f"the one nearest to the middle, {grounds.middle:.3g} from it"
        return f"{grounds.distance:.3g} from the nearest of them"
    if isinstance(grounds, Typical):
        return _typical(grounds, rank)
    if chosen.draw == "badge":
        return f"below the best {chosen.factor:g} times the budget, so its gradient was not looked at"
    return ""


def _gradient(grounds: Gradient, rank: int | None) -> str:
    if rank is None:
        return (
            f"its gradient is {grounds.length:.3g} long, {grounds.squared_distance:.3g} (squared) from the nearest pick"
        )
    if grounds.share is None:
        return f"its gradient the longest, {grounds.length:.3g}, with which k-means++ begins"
    if not grounds.squared_distance:
        return f"its gradient, {grounds.length:.3g} long, equal to a pick's as all that were left were: by lot"
    return (
        f"its gradient, {grounds.length:.3g} long, was {grounds.squared_distance:.3g} (squared) from the nearest "
        f"earlier pick: {grounds.share:.2%} of the sum over all, its probability in that draw"
    )


def _typical(grounds: Typical, rank: int | None) -> str:
    if grounds.typicality is not None:
        typicality = f"typicality {grounds.typicality:.3g} (1 / the mean distance to its nearest neighbours)"
    elif grounds.distance is not None:
        typicality = "typicality without bound, for its nearest neighbours equal it"
    else:
        typicality = "no typicality, for it was not compared with neighbours"
    covered = f"labels and {'picks' if rank is None else 'earlier picks'} among them: {grounds.covered}"
    return (
        f"{typicality}, rank {grounds.place + 1} among the unread of cluster {grounds.cluster}, one of "
        f"{grounds.clusters}, which has {grounds.size} members; {covered}"
    )
