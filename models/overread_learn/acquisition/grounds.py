"""What decided where a strategy measures no uncertainty, or not that alone: numbers of the embeddings.

They are of a candidate, not of its patches: an embedding is the mean over those. Each has ``deciding``, the one number
by which the candidate was picked, which `overread_learn.acquisition.select.Pick` shows as its score.
"""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Apart", "Gradient", "Grounds", "Typical"]


@dataclass(frozen=True)
class Gradient:
    """BADGE's: where a candidate's gradient embedding lies (Ash et al., ICLR 2020, Algorithm 1).

    ``length`` is its Euclidean norm. ``squared_distance`` is to the nearest earlier pick when this one was drawn, as
    k-means++ computed it; of the first pick, which is the longest, to no gradient at all: its squared length. Of a
    candidate that was not picked it is to the nearest of all picks. ``share`` of the sum over all candidates is the
    probability that a pick had in its draw; None of the first and of what was not picked.
    """

    length: float
    squared_distance: float
    share: float | None

    @property
    def deciding(self) -> float:
        """The squared distance."""
        return self.squared_distance


@dataclass(frozen=True)
class Apart:
    """CoreSet's: the distance to the nearest of all that is labelled and was picked before, or at all if this was not.

    Where there is no such other, as for the first pick without labels, the one nearest to the middle of the pool is
    taken: ``distance`` is then None, and ``middle`` the distance to it.
    """

    distance: float | None
    middle: float | None

    @property
    def deciding(self) -> float | None:
        """The distance; None where nearness to the middle decided, of which less is more."""
        return self.distance


@dataclass(frozen=True)
class Typical:
    """TypiClust's: a candidate in its cluster (Hacohen et al., ICML 2022, Algorithm 1).

    ``typicality`` is 1 / ``distance``, the mean one to the 20 nearest neighbours within the cluster, of unit
    embeddings; None where they all equal it. Both are None where it is alone, or was not looked at since others stood
    for a crowd. ``cluster`` is a number without meaning, ``clusters`` how many there are, ``size`` the members of this
    one, labelled ones too, and ``covered`` how many of them were labelled or picked before; ``place`` is its own among
    the unread members, 0 the most typical.
    """

    typicality: float | None
    distance: float | None
    cluster: int
    clusters: int
    size: int
    covered: int
    place: int

    @property
    def deciding(self) -> float | None:
        """The typicality."""
        return self.typicality


Grounds: TypeAlias = Gradient | Apart | Typical
