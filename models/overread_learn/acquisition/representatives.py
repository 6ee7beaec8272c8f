"""Choosing candidates that stand for others: BADGE, CoreSet, TypiClust. All look at embeddings.

None depends on the order of the pool beyond its own random numbers: callers sort the pool by id.
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

__all__ = ["badge", "coreset", "typiclust"]

NEIGHBOURS = 20
"""Nearest neighbours over which typicality is taken (Hacohen et al., 2022, Section 3)."""
MOST_CLUSTERS = 500
SMALL = 50
"""Up to so many clusters the whole k-means is run, beyond it the one on mini-batches, as TypiClust's authors do."""
SMALLEST_CLUSTER = 5


def badge(
    probabilities: NDArray[np.float64], embeddings: NDArray[np.floating], count: int, rng: np.random.Generator
) -> list[int]:
    """Choose by k-means++ on gradient embeddings (Ash et al., ICLR 2020, Algorithm 1).

    The gradient of the loss at the last layer, for the class that the network itself would say, is the outer product
    of (p - one-hot), (n, C), and the embedding, (n, d). Distances between outer products need only the two inner
    products, so the (n, C d) matrix is never made. The first centre is the longest gradient.
    """
    residual = probabilities.copy()
    residual[np.arange(len(residual)), probabilities.argmax(axis=1)] -= 1
    features = np.asarray(embeddings, dtype=np.float64)
    length = (residual**2).sum(axis=1) * (features**2).sum(axis=1)
    chosen = [int(length.argmax())]
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
            break
        chosen.append(int(rng.choice(len(length), p=nearest / total)))
    return chosen[:count]


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


def typiclust(
    embeddings: NDArray[np.floating], labelled: NDArray[np.floating] | None, count: int, seed: int
) -> list[int]:
    """Choose the most typical candidate of each cluster that no label covers (Hacohen et al., ICML 2022, Algorithm 1).

    k-means over everything, labelled or not, into as many clusters as there will be labels (at most 500); clusters with
    the fewest labels first, of these the largest. Typicality is 1 / the mean distance to the 20 nearest neighbours
    within the cluster. Embeddings are brought to length one, as the authors do.
    """
    own = _unit(embeddings)
    old = _unit(labelled) if labelled is not None and len(labelled) else own[:0]
    everything = np.concatenate([own, old])
    clusters = min(len(old) + count, MOST_CLUSTERS, len(everything))
    of = _clusters(everything, clusters, seed)
    covered = np.bincount(of[len(own) :], minlength=clusters)
    size = np.bincount(of, minlength=clusters)
    members = {cluster: np.flatnonzero(of[: len(own)] == cluster) for cluster in range(clusters)}
    # What is typical of a cluster does not change while its members are taken.
    queues = {
        cluster: iter(_by_typicality(own, part, everything[of == cluster]))
        for cluster, part in members.items()
        if len(part)
    }
    chosen: list[int] = []
    while len(chosen) < min(count, len(own)):
        cluster = min(queues, key=lambda each: (size[each] < SMALLEST_CLUSTER, covered[each], -size[each], each))
        candidate = next(queues[cluster], None)
        if candidate is None:
            del queues[cluster]
            continue
        chosen.append(candidate)
        covered[cluster] += 1
    return chosen


def _unit(embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = np.asarray(embeddings, dtype=np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float64).tiny))


def _clusters(points: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int64]:
    kind = KMeans if count <= SMALL else MiniBatchKMeans
    size = {} if count <= SMALL else {"batch_size": 5000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters
        return np.asarray(kind(count, n_init=1, random_state=seed, **size).fit_predict(points), dtype=np.int64)


def _by_typicality(own: NDArray[np.float64], part: NDArray[np.int64], cluster: NDArray[np.float64]) -> list[int]:
    """Order a cluster's unread members, the most typical first, equal ones by their place."""
    near = min(NEIGHBOURS, len(cluster) - 1)
    if near < 1:
        return [int(index) for index in part]
    points = own[part]
    square = (points**2).sum(axis=1)[:, None] + (cluster**2).sum(axis=1) - 2 * points @ cluster.T
    distance = np.sqrt(np.maximum(np.partition(square, near, axis=1)[:, : near + 1], 0)).sum(axis=1) / near
    return [int(index) for index in part[np.argsort(np.round(distance, 12), kind="stable")]]
