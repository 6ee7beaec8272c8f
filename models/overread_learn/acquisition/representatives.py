"""Choosing candidates that stand for others: BADGE, CoreSet, TypiClust. All look at embeddings.

None depends on the order of the pool beyond its own random numbers: callers sort the pool by id.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from overread_learn.acquisition.grounds import Apart, Gradient, Typical

__all__ = [
    "LOOK_AT_LABELLED",
    "Clusters",
    "Seeds",
    "apart",
    "clustered",
    "coreset",
    "residuals",
    "seeds",
]

LOOK_AT_LABELLED = frozenset({"coreset", "typiclust"})
"""Draws that keep away from what is labelled, and so look at its embeddings."""

NEIGHBOURS = 20
"""Nearest neighbours over which typicality is taken (Hacohen et al., 2022, Section 3)."""
MOST_CLUSTERS = 500
SMALL = 50
"""Up to so many clusters the whole k-means is run, beyond it the one on mini-batches, as TypiClust's authors do."""
SMALLEST_CLUSTER = 5
CROWD = 5000
"""In a larger cluster about so many, evenly spaced, stand for all: time and memory would grow with its square."""
BLOCK = 1 << 22
"""Distances held at once."""
SAME = 1e-14
"""A squared distance of points of length 1 that rounding alone can make."""


def residuals(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p - one-hot of the likeliest class, (n, C) of (n, C): the loss's gradient by the logits."""
    residual = probabilities.copy()
    residual[np.arange(len(residual)), probabilities.argmax(axis=1)] -= 1
    return residual


class Seeds(NamedTuple):
    """What k-means++ chose among the outer products of ``residual`` (n, C) and ``embeddings`` (n, d), in its order.

    ``squared`` and ``shares`` say what decided each time, as in `overread_learn.acquisition.grounds.Gradient`.
    """

    chosen: list[int]
    squared: list[float]
    shares: list[float | None]
    residual: NDArray[np.float64]
    embeddings: NDArray[np.floating]

    def grounds(self, place: int) -> Gradient:
        """Say where the gradient of one of the n lies."""
        rows = [place] if place in self.chosen else [place, *self.chosen]
        residual, features = self.residual[rows], np.asarray(self.embeddings[rows], dtype=np.float64)
        length = (residual**2).sum(axis=1) * (features**2).sum(axis=1)
        norm = float(np.sqrt(length[0]))
        if place in self.chosen:
            turn = self.chosen.index(place)
            return Gradient(norm, self.squared[turn], self.shares[turn])
        product = (residual @ residual[0]) * (features @ features[0])
        return Gradient(norm, float(np.maximum(length[1:] + length[0] - 2 * product[1:], 0).min()), None)


def seeds(
    residual: NDArray[np.float64], embeddings: NDArray[np.floating], count: int, rng: np.random.Generator
) -> Seeds:
    """Choose by k-means++ on gradient embeddings (Ash et al., ICLR 2020, Algorithm 1), and say what decided.

    The gradient of the loss at the last layer is the outer product of the residual (p - one-hot), (n, C), and the
    embedding, (n, d); BADGE's residuals are those of the class that the network itself would say. Distances between
    outer products need only the two inner products, so the (n, C d) matrix is never made. The first centre is the
    longest gradient.
    """
    features = np.asarray(embeddings, dtype=np.float64)
    length = (residual**2).sum(axis=1) * (features**2).sum(axis=1)
    chosen = [int(length.argmax())]
    squared: list[float] = [float(length.max())]
    shares: list[float | None] = [None]
    found = Seeds(chosen, squared, shares, residual, embeddings)
    nearest = np.full(len(length), np.inf)
    while len(chosen) < min(count, len(length)):
        last = chosen[-1]
        product = (residual @ residual[last]) * (features @ features[last])
        nearest = np.minimum(nearest, np.maximum(length + length[last] - 2 * product, 0))
        nearest[chosen] = 0
        total = nearest.sum()
        if total <= 0:  # all that is left equals what was chosen
            rest = np.setdiff1d(np.arange(len(length)), chosen)
            chosen.extend(int(index) for index in rng.permutation(rest)[: count - len(chosen)])
            left = range(len(rest), len(rest) - (len(chosen) - len(squared)), -1)
            shares.extend(1 / each for each in left)
            squared.extend(0.0 for _ in left)
            break
        chosen.append(int(rng.choice(len(length), p=nearest / total)))
        squared.append(float(nearest[chosen[-1]]))
        shares.append(float(nearest[chosen[-1]] / total))
    return found


def coreset(embeddings: NDArray[np.floating], labelled: NDArray[np.floating] | None, count: int) -> list[int]:
    """Choose what is farthest from all labelled and chosen ones (Sener & Savarese, ICLR 2018, Algorithm 1).

    Without anything labelled the first is the one nearest to the middle.
    """
    features = np.asarray(embeddings, dtype=np.float64)
    square = (features**2).sum(axis=1)

    def distances(centre: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(square + centre @ centre - 2 * features @ centre)

    chosen: list[int] = []
    if labelled is None or not len(labelled):
        chosen.append(int(distances(features.mean(axis=0)).argmin()))
        nearest = distances(features[chosen[0]])
    else:
        nearest = np.full(len(features), np.inf)
        for centre in np.asarray(labelled, dtype=np.float64):
            nearest = np.minimum(nearest, distances(centre))
    while len(chosen) < min(count, len(features)):
        nearest[chosen] = -np.inf
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances(features[chosen[-1]]))
    return chosen


def apart(
    embeddings: NDArray[np.floating], labelled: NDArray[np.floating] | None, chosen: list[int], place: int
) -> Apart:
    """Say how far one of the pool was from all labelled and ``chosen`` ones before it, all of these if it is none."""
    own = np.asarray(embeddings[place], dtype=np.float64)
    before = chosen[: chosen.index(place)] if place in chosen else chosen
    others = [np.asarray(part, np.float64) for part in (labelled, embeddings[before]) if part is not None and len(part)]
    if not others:
        return Apart(None, float(np.linalg.norm(own - np.asarray(embeddings, np.float64).mean(axis=0))))
    return Apart(float(min(np.linalg.norm(part - own, axis=1).min() for part in others)), None)


class _Ranked(NamedTuple):
    """A cluster's unread members, the most typical first, ties by place; whom a crowd stands for, behind it."""

    members: NDArray[np.int64]
    distances: NDArray[np.float64]
    """Mean distances to the nearest neighbours, of the first members; fewer than there are where some were not looked
    at, none where the cluster has one point."""


class Clusters(NamedTuple):
    """What TypiClust chose, in its order, and in ``covered`` how many labels and earlier picks its cluster had."""

    chosen: list[int]
    covered: list[int]
    of: NDArray[np.int64]
    """(n + l,), the cluster of each candidate, and then of each labelled one."""
    covered_now: NDArray[np.int64]
    """(clusters,), labels and picks in the end."""
    ranked: Callable[[int], _Ranked]

    def grounds(self, place: int) -> Typical:
        """Say where one candidate stands in its cluster."""
        cluster = int(self.of[place])
        members, distances = self.ranked(cluster)
        at = int(np.flatnonzero(members == place)[0])
        distance = float(distances[at]) if at < len(distances) else None
        return Typical(
            typicality=1 / distance if distance else None,
            distance=distance,
            cluster=cluster,
            clusters=len(self.covered_now),
            size=int((self.of == cluster).sum()),
            covered=self.covered[self.chosen.index(place)] if place in self.chosen else int(self.covered_now[cluster]),
            place=at,
        )


def clustered(
    embeddings: NDArray[np.floating], labelled: NDArray[np.floating] | None, count: int, seed: int
) -> Clusters:
    """Choose the most typical candidate of each cluster that no label covers, and say what decided.

    That is TypiClust (Hacohen et al., ICML 2022, Algorithm 1): k-means over everything, labelled or not, into as many
    clusters as there will be labels (at most 500); clusters with the fewest labels first, of these the largest.
    Typicality is 1 / the mean distance to the 20 nearest neighbours within the cluster. Embeddings are brought to
    length one, as the authors do.
    """
    own = len(embeddings)
    everything = _unit(embeddings)
    if labelled is not None and len(labelled):
        # Answers have no order of their own, and k-means begins where its random numbers point.
        everything = np.concatenate([everything, np.array(sorted(_unit(labelled).tolist()))])
    answers = len(everything) - own
    clusters = min(answers + count, MOST_CLUSTERS, len(everything))
    of = _clusters(everything, clusters, seed)
    covered = np.bincount(of[own:], minlength=clusters)
    size = np.bincount(of, minlength=clusters)
    # What is typical of a cluster does not change while its members are taken; most are never asked.
    ranked = cache(partial(_by_typicality, everything, of, own))
    queues = {int(cluster): _in_turn(ranked, int(cluster)) for cluster in np.unique(of[:own])}
    found = Clusters([], [], of, covered, ranked)
    while len(found.chosen) < min(count, own):
        cluster = min(queues, key=lambda each: (size[each] < SMALLEST_CLUSTER, covered[each], -size[each], each))
        candidate = next(queues[cluster], None)
        if candidate is None:
            del queues[cluster]
            continue
        found.chosen.append(candidate)
        found.covered.append(int(covered[cluster]))
        covered[cluster] += 1
    return found


def _in_turn(ranked: Callable[[int], _Ranked], cluster: int) -> Iterator[int]:
    """Yield a cluster's unread members, which are looked at when the first is asked for."""
    yield from (int(index) for index in ranked(cluster).members)


def _unit(embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = np.asarray(embeddings, dtype=np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float64).tiny))


def _clusters(points: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int64]:
    kind = KMeans if count <= SMALL else MiniBatchKMeans
    size = {} if count <= SMALL else {"batch_size": 5000}
    found = kind(count, n_init=1, random_state=seed % 2**32, **size)
    # Several threads add up the centres in the order in which they finish: the last digits would be chance.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters
        return np.asarray(found.fit_predict(points), dtype=np.int64)


def _by_typicality(points: NDArray[np.float64], of: NDArray[np.int64], own: int, cluster: int) -> _Ranked:
    """Rank a cluster's unread members, those among the first ``own`` points."""
    members = np.flatnonzero(of == cluster)
    crowd = members[:: -(-len(members) // CROWD)]
    part, others = crowd[crowd < own], points[crowd]
    near = min(NEIGHBOURS, len(crowd) - 1)
    distances = np.empty(0)
    if near:
        step = max(1, BLOCK // len(crowd))
        blocks = [_mean_distance(points[part[at : at + step]], others, near) for at in range(0, len(part), step)]
        distances = np.concatenate([distances, *blocks])
        order = np.argsort(np.round(distances, 12), kind="stable")
        part, distances = part[order], distances[order]
    return _Ranked(np.concatenate([part, np.setdiff1d(members[members < own], part)]), distances)


def _mean_distance(own: NDArray[np.float64], others: NDArray[np.float64], near: int) -> NDArray[np.float64]:
    """Return the mean distance of (w, d) points to the ``near`` nearest of the (c, d) others, of which each is one."""
    square = (own**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * own @ others.T
    nearest = np.partition(square, near, axis=1)[:, : near + 1]
    # Points of length 1 as near as this are equal: the rest is what rounding left, and its root would look like more.
    nearest = np.sqrt(np.where(nearest < SAME, 0, nearest))
    return np.asarray(nearest.sum(axis=1) / near)
