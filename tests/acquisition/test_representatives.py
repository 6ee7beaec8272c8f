import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import representatives
from overread_learn.acquisition.representatives import NEIGHBOURS, clustered, coreset, residuals, seeds


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponential = np.exp(logits)
    return np.asarray(exponential / exponential.sum(axis=1, keepdims=True))


def distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared, by their definition."""
    return np.asarray(((one[:, None] - other) ** 2).sum(axis=2))


def badge_as_written(p: NDArray[np.float64], h: NDArray[np.float64], count: int, seed: int) -> list[int]:
    """BADGE with its gradients made: k-means++ on the outer products of p - one-hot and the embedding."""
    rng = np.random.default_rng(seed)
    gradients = np.einsum("nc,nd->ncd", p - np.eye(p.shape[1])[p.argmax(axis=1)], h).reshape(len(p), -1)
    chosen = [int((gradients**2).sum(axis=1).argmax())]
    for _ in range(count - 1):
        nearest = distances(gradients, gradients[chosen]).min(axis=1)
        chosen.append(int(rng.choice(len(p), p=nearest / nearest.sum())))
    return chosen


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_badge_is_kmeans_plus_plus_on_gradients(classes: int, kind: type[np.floating]) -> None:
    rng = np.random.default_rng(classes)
    p, h = softmax(rng.normal(size=(80, classes)) * 2), rng.normal(size=(80, 6)).astype(kind)
    for seed in range(10):
        found = seeds(residuals(p), h, 25, np.random.default_rng(seed)).chosen
        assert found == badge_as_written(p, h.astype(float), 25, seed)
        assert len(set(found)) == 25


def test_badge_takes_one_of_each_kind_before_a_second() -> None:
    # Four kinds of candidates, ten of each: within a kind the gradients are equal, so a second one is at distance 0.
    h = np.repeat(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]), 10, axis=0)
    p = np.tile([[0.6, 0.4]], (40, 1))
    for seed in range(20):
        found = seeds(residuals(p), h, 6, np.random.default_rng(seed)).chosen
        assert sorted(place // 10 for place in found[:4]) == [0, 1, 2, 3]
        assert len(set(found)) == 6


def test_badge_where_the_network_is_sure_of_all() -> None:
    p = np.tile([[1.0, 0.0]], (9, 1))
    h = np.random.default_rng(0).normal(size=(9, 3))
    assert len(set(seeds(residuals(p), h, 5, np.random.default_rng(0)).chosen)) == 5
    assert sorted(seeds(residuals(p), h, 50, np.random.default_rng(0)).chosen) == list(range(9))
    firsts = {tuple(seeds(residuals(p), h, 5, np.random.default_rng(seed)).chosen[1:]) for seed in range(9)}
    assert len(firsts) > 1


@pytest.mark.parametrize("answered", [0, 1, 7])
def test_coreset_is_the_greedy_farthest(answered: int) -> None:
    rng = np.random.default_rng(answered)
    h, labelled = rng.normal(size=(60, 5)), rng.normal(size=(answered, 5))
    chosen: list[int] = []
    if not answered:
        chosen.append(int(distances(h, h.mean(axis=0)[None])[:, 0].argmin()))
    while len(chosen) < 20:
        nearest = distances(h, np.concatenate([labelled, h[chosen]])).min(axis=1)
        chosen.append(int(nearest.argmax()))
    assert coreset(h, labelled, 20) == chosen
    assert coreset(h, labelled[::-1], 20) == chosen
    if not answered:
        assert coreset(h, None, 20) == chosen


def test_coreset_takes_each_once_even_where_all_are_equal() -> None:
    assert coreset(np.ones((4, 2)), None, 9) == [0, 1, 2, 3]
    assert sorted(coreset(np.ones((4, 2)), np.ones((2, 2)), 9)) == [0, 1, 2, 3]


CENTRES = np.eye(4) * 10
SIZES = (30, 20, 14, 9)


def mixture(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Four clusters, far apart in direction, and which one each candidate is of."""
    of = np.repeat(np.arange(4), SIZES)
    return CENTRES[of] + np.random.default_rng(seed).normal(size=(len(of), 4)), of


def typical(h: NDArray[np.float64], members: NDArray[np.int64]) -> int:
    """The member of the smallest mean distance to its nearest neighbours, by their definition."""
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    near = min(NEIGHBOURS, len(members) - 1)
    ordered = np.sort(np.sqrt(distances(unit[members], unit[members])), axis=1)
    return int(members[ordered[:, 1 : near + 1].mean(axis=1).argmin()])


@pytest.mark.parametrize("seed", range(5))
def test_typiclust_takes_the_most_typical_of_each_cluster_the_largest_first(seed: int) -> None:
    h, of = mixture(seed)
    assert clustered(h, None, 4, seed).chosen == [typical(h, np.flatnonzero(of == each)) for each in range(4)]


def test_typiclust_goes_where_no_label_is() -> None:
    h, of = mixture()
    labelled = CENTRES[[0, 2]] * 3  # its length says nothing
    found = clustered(h, labelled, 2, 0).chosen
    assert of[found].tolist() == [1, 3]


def test_typiclust_does_not_ask_in_which_order_the_answers_came() -> None:
    rng = np.random.default_rng(0)
    h, labelled = rng.normal(size=(40, 4)), rng.normal(size=(60, 4))
    assert len({tuple(clustered(h, rng.permutation(labelled), 8, 0).chosen) for _ in range(8)}) == 1


def test_typiclust_avoids_outliers_and_tiny_clusters() -> None:
    h, of = mixture()
    strays = np.array([[-9.0, 1, 0, 0], [-9, 0, 1, 0]])
    found = clustered(np.concatenate([h, strays]), None, 5, 0).chosen
    assert max(found) < len(h)
    assert set(of[found].tolist()) == {0, 1, 2, 3}
    # They come when nothing else is left.
    assert sorted(clustered(np.concatenate([h, strays]), None, 100, 0).chosen) == list(range(len(h) + 2))


def test_typiclust_with_many_clusters_and_with_equal_candidates() -> None:
    h = np.random.default_rng(0).normal(size=(400, 6))
    found = clustered(h, None, 80, 3).chosen
    assert len(set(found)) == 80
    assert found == clustered(h, None, 80, 3).chosen
    assert found != clustered(h, None, 80, 4).chosen
    assert sorted(clustered(np.ones((6, 2)), np.ones((3, 2)), 6, 0).chosen) == list(range(6))
    assert clustered(np.zeros((1, 2)), None, 1, 2**40).chosen == [0]


def test_typicality_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    h, _ = mixture()
    whole = clustered(h, None, 30, 0).chosen
    monkeypatch.setattr(representatives, "BLOCK", 7)
    assert clustered(h, None, 30, 0).chosen == whole


def test_a_crowd_stands_for_a_large_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    h, of = mixture()
    monkeypatch.setattr(representatives, "CROWD", 10)
    found = clustered(h, None, 4, 0).chosen
    assert of[found].tolist() == [0, 1, 2, 3]
    assert found[0] == typical(h, np.arange(0, 30, 3))
    assert sorted(clustered(h, None, 73, 0).chosen) == list(range(73))


def test_typicality_of_a_large_cluster_takes_no_memory_with_its_square() -> None:
    h = 1 + np.random.default_rng(0).random((12_000, 2)) / 10
    tracemalloc.start()
    try:
        clustered(h, None, 1, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All pairs at once: 1,152 MB.
    assert peak < 2e8
