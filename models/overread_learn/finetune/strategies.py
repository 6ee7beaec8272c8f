"""On which labels a round trains, and from which network: Table 2 of Zhou et al., Medical Image Analysis 2021.

L are the labels of earlier rounds, Q this round's, H those of L that M(t-1) gets wrong. In Table 4 of the paper Q alone
is the worst row in every application (the network forgets), and HQ about as accurate as all of LQ, at a fraction of the
cost. Rehearsal is not the paper's: to Q and H it adds a few labels of L that the network has right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRATEGIES", "Plan", "Strategy", "misclassified", "plan"]

Start = Literal["m0", "parent"]


@dataclass(frozen=True)
class Strategy:
    """A row of the table."""

    start: Start
    """The pretrained M0, or the parent M(t-1)."""
    learns: str
    """Letters of L, Q, H, and R for the reservoir."""
    active: bool = True
    """Whether it learns from what was picked; RFT is what AFT is, from labels that were drawn at random."""


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "RFT(LQ)": Strategy("m0", "LQ", active=False),
        "AFT(LQ)": Strategy("m0", "LQ"),
        "ACFT(Q)": Strategy("parent", "Q"),
        "ACFT(LQ)": Strategy("parent", "LQ"),
        "ACFT(HQ)": Strategy("parent", "HQ"),
        "rehearsal": Strategy("parent", "RHQ"),
    }
)


@dataclass(frozen=True)
class Plan:
    """Where a round starts and what it learns."""

    start: Start
    indices: NDArray[np.intp]
    """Into the labelled candidates, rising, each once."""


def misclassified(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which candidates, (n,), the network gets wrong by their mean patch probabilities, (n, classes).

    Of equal probabilities the first class counts: a tie is negative.
    """
    wrong: NDArray[np.bool_] = probabilities.argmax(axis=1) != labels
    return wrong


def plan(
    strategy: str,
    labels: NDArray[np.integer],
    new: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    *,
    seed: int,
    reservoir: int = 0,
) -> Plan:
    """Return what a strategy trains on.

    ``labels`` (n,) are those of all labelled candidates, ``new`` (n,) marks this round's, ``wrong`` (n,) those that the
    parent gets wrong (see `misclassified`; looked at in L alone). ``reservoir`` is rehearsal's number of further
    candidates of L, classes in equal shares as far as they go, drawn by ``seed``. The indices may all be of one class:
    the step then says OneClass.

    Raises ValueError on an unknown strategy, other lengths, a negative reservoir, or one for which there is no use.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; known are {', '.join(STRATEGIES)}")
    row = STRATEGIES[strategy]
    if new.shape != labels.shape or wrong.shape != labels.shape:
        raise ValueError(f"labels, new and wrong must have one length: {labels.shape}, {new.shape}, {wrong.shape}")
    if reservoir < 0 or (reservoir and "R" not in row.learns):
        raise ValueError(f"{strategy} can't keep a reservoir of {reservoir}")
    chosen = np.zeros(len(labels), dtype=np.bool_)
    chosen |= new if "Q" in row.learns else False
    chosen |= ~new if "L" in row.learns else False
    chosen |= ~new & wrong if "H" in row.learns else False
    chosen[_balanced(labels, np.flatnonzero(~new & ~wrong), reservoir, np.random.default_rng(seed))] = True
    return Plan(row.start, np.flatnonzero(chosen))


def _balanced(
    labels: NDArray[np.integer], among: NDArray[np.intp], size: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw ``size`` of the indices ``among``: classes take turns until they or the places run out."""
    turn = np.empty(len(among), dtype=np.intp)
    for value in np.unique(labels[among]):
        members = np.flatnonzero(labels[among] == value)
        turn[rng.permutation(members)] = np.arange(len(members))
    return among[np.lexsort((labels[among], turn))[:size]]
