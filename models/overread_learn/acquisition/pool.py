"""The unread candidates of a round, and what the network said of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.bounds import fault

__all__ = ["EmptyPool", "Group", "Pool"]

CHUNK = 1 << 18
"""Logits looked at together, however many patches they are of: what bounds memory where the pool is larger than it."""


class EmptyPool(ValueError):
    """There is no candidate to choose from."""


@dataclass(frozen=True)
class Group:
    """Some candidates with the same number of patches."""

    members: NDArray[np.int64]
    """(g,), places in the pool."""
    logits: NDArray[np.floating]
    """(g, m, C)."""


@dataclass(frozen=True)
class Pool:
    """Unread candidates. The arrays may be memory-mapped: they are read in chunks, and never copied as a whole.

    ``logits`` stacks the patches of all candidates, (sum of m_i, C), and ``offsets`` (n + 1,) says where each begins.
    ``embeddings`` (n, d) are the mean over a candidate's patches of what enters the network's last layer, which the
    strategies of representatives need; None where nobody computed them. ``labelled`` (l, d) are those of the candidates
    that have an answer already, and ``counts`` how many answers each class has.

    Raises EmptyPool, and ValueError on ids that repeat or arrays that do not fit together.
    """

    ids: Sequence[str]
    logits: NDArray[np.floating]
    offsets: NDArray[np.int64]
    embeddings: NDArray[np.floating] | None = None
    labelled: NDArray[np.floating] | None = None
    counts: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what would otherwise pick the wrong candidates in silence."""
        count = len(self.ids)
        if not count:
            raise EmptyPool("the pool is empty: there is no candidate to choose from")
        if len(set(self.ids)) < count:
            raise ValueError("candidate ids repeat in the pool")
        if self.logits.ndim != 2 or self.logits.shape[1] < 2:  # patch, class
            raise ValueError(f"logits must be (patches, classes >= 2), got {self.logits.shape}")
        sizes = np.diff(self.offsets)
        if len(self.offsets) != count + 1 or self.offsets[0] or self.offsets[-1] != len(self.logits):
            raise ValueError(
                f"{count} ids need {count + 1} offsets from 0 to {len(self.logits)}, the number of patches; "
                f"there are {len(self.offsets)}, from {self.offsets[:1]} to {self.offsets[-1:]}"
            )
        if (sizes < 1).any():
            raise ValueError(f"candidate {self.ids[int(np.argmin(sizes))]} has no patch")
        self._check_embeddings()

    def _check_embeddings(self) -> None:
        for name, array in (("embeddings", self.embeddings), ("labelled", self.labelled)):
            if array is not None and array.ndim != 2:  # candidate, feature
                raise ValueError(f"{name} must be (candidates, features), got {array.shape}")
        if self.embeddings is None:
            return
        if len(self.embeddings) != len(self):
            raise ValueError(f"{len(self)} ids came with {len(self.embeddings)} embeddings")
        if self.labelled is not None and len(self.labelled) and self.labelled.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"embeddings have {self.embeddings.shape[1]} features, those of the labelled {self.labelled.shape[1]}"
            )

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        logits: Sequence[NDArray[np.floating]] | NDArray[np.floating],
        *,
        embeddings: NDArray[np.floating] | None = None,
        labelled: NDArray[np.floating] | None = None,
        counts: Mapping[int, int] | None = None,
    ) -> "Pool":
        """Build a pool from each candidate's (m_i, C) logits, or from (n, m, C) where all have m patches."""
        if len(ids) != len(logits):
            raise ValueError(f"{len(ids)} ids came with {len(logits)} arrays of logits")
        if not len(ids):
            raise EmptyPool("the pool is empty: there is no candidate to choose from")
        classes = np.shape(logits[0])[-1]
        for candidate, array in zip(ids, logits, strict=True):
            if array.ndim != 2 or array.shape[1] != classes or not len(array):  # patch, class
                raise ValueError(f"candidate {candidate}: logits are {array.shape}, not (patches, {classes})")
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in logits])]).astype(np.int64)
        stacked = logits.reshape(-1, classes) if isinstance(logits, np.ndarray) else np.concatenate(logits)
        return cls(ids, stacked, offsets, embeddings, labelled, counts or {})

    def __len__(self) -> int:
        return len(self.ids)

    def of_candidate(self, index: int) -> NDArray[np.floating]:
        """Return one candidate's logits, (m, C)."""
        return self.logits[self.offsets[index] : self.offsets[index + 1]]

    def groups(self) -> Iterator[Group]:
        """Yield all candidates in chunks, each of one number of patches.

        Raises ValueError where a logit is not finite or beyond what float32 holds, and names the candidate.
        """
        sizes = np.diff(self.offsets)
        for size in np.unique(sizes):
            members = np.flatnonzero(sizes == size)
            step = max(1, CHUNK // int(size * self.logits.shape[1]))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                rows = self.offsets[part]
                if part[-1] - part[0] + 1 == len(part):  # neighbours: a view
                    logits = self.logits[rows[0] : rows[0] + len(part) * size].reshape(len(part), size, -1)
                else:
                    logits = self.logits[rows[:, None] + np.arange(size)]
                if fault(logits):
                    wrong = next(place for place in range(len(part)) if fault(logits[place]))
                    raise ValueError(f"candidate {self.ids[int(part[wrong])]}: a logit is {fault(logits[wrong])}")
                yield Group(part, logits)

    def probabilities(self) -> NDArray[np.float64]:
        """Return each candidate's mean patch probability, (n, C)."""
        mean = np.empty((len(self), self.logits.shape[1]))
        for group in self.groups():
            mean[group.members] = patch_probabilities(group.logits).mean(axis=1)
        return mean

    def needed_embeddings(self, who: str) -> NDArray[np.floating]:
        """Return the embeddings; raises ValueError where there are none, in the name of the strategy that asks."""
        if self.embeddings is None:
            raise ValueError(
                f"{who} chooses by embeddings, and this pool has none: score it with a model that gives them"
            )
        return self.embeddings


def patch_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn logits (..., C) into probabilities, in float64."""
    wide = np.asarray(logits, dtype=np.float64)
    exponential = np.exp(wide - wide.max(axis=-1, keepdims=True))
    total: NDArray[np.float64] = exponential.sum(axis=-1, keepdims=True)
    return np.asarray(exponential / total)
