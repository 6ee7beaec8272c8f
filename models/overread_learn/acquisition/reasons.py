"""The words of an explanation: what a strategy went by, and with what result."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from overread_learn.acquisition.strategy import Strategy

__all__ = ["Terms", "sentence"]


class Terms(NamedTuple):
    """What is known of a candidate, as in `overread_learn.acquisition.explain.Explanation`."""

    entropy: float
    diversity: float
    value: float | None
    dominant: int
    k: int
    patches: int


_SHAPES: Mapping[str, str] = MappingProxyType(
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
_MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "margin": "1 less the difference of the two likeliest classes",
        "least-confidence": "1 less the probability of the likeliest class",
        "patch-jsd": "the Jensen-Shannon divergence of the patches, in nats",
        "rarest": "the probability of the class with the fewest labels",
    }
)


def sentence(asked: Strategy, chosen: Strategy, shape: str, terms: Terms, fate: str) -> str:
    """Return in words why a candidate stands where it does.

    ``asked`` is the strategy by its name, ``chosen`` who chooses now: another one during a cold start. ``shape`` is the
    pattern; ``fate`` what became of the candidate, empty where nobody knows.
    """
    words = [f"{_SHAPES[shape]} (pattern {shape})"]
    if chosen is not asked:
        words.append(f"not every class has a label yet, so {chosen.name}, the cold start of {asked.name}, chooses")
    if chosen.measure == "aift":
        weighed = f"{chosen.entropy:g} x entropy {terms.entropy:.3g} + {chosen.diversity:g} x diversity"
        words.append(
            f"{weighed} {terms.diversity:.3g} nats over the {terms.k} of {terms.patches} patches that were kept"
        )
    elif chosen.measure:
        words.append(f"{chosen.measure} {terms.value:.3g} ({_MEASURES[chosen.measure]})")
    words.append(_drawn(chosen, terms))
    return "; ".join(filter(None, [*words, fate]))


def _drawn(chosen: Strategy, terms: Terms) -> str:
    """Say how a strategy picks by its measure, or without one."""
    best = f"among the best {chosen.factor:g} times the budget"
    return {
        "best": "the largest are picked",
        "random": "every candidate alike, by lot",
        "stratified": f"by lot, equally many of each predicted class; this one is predicted class {terms.dominant}",
        "randomised": f"drawn by lot {best}, the larger the likelier",
        "power": f"drawn by lot from all, the weight of each its measure to the power of {chosen.factor:g}",
        "badge": "far, in gradient space, from the others that were picked" + (f", {best}" if chosen.measure else ""),
        "coreset": "the farthest, by its embedding, from all that is labelled and the picks before it",
        "typiclust": "the most typical, by its embedding, of a cluster that no label or earlier pick covers",
    }[chosen.draw]
