from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import Pool
from overread_learn.acquisition.uncertainty import MEASURES, least_confidence, margin, patch_jsd, rarest


def pool(*candidates: list[list[float]], counts: dict[int, int] | None = None) -> Pool:
    """A pool from patch probabilities."""
    with np.errstate(divide="ignore"):
        logits = [np.maximum(np.log(np.array(one)), -1e4) for one in candidates]
    return Pool.of([f"c{index}" for index in range(len(logits))], logits, counts=counts)


SURE, OPEN, SPLIT = [[1.0, 0.0]] * 3, [[0.5, 0.5]] * 2, [[1.0, 0.0], [0.0, 1.0]]
THREE = [[0.7, 0.2, 0.1], [0.5, 0.2, 0.3]]


def test_margin_and_least_confidence_look_at_the_mean() -> None:
    assert margin(pool(SURE, OPEN, SPLIT)) == pytest.approx([0, 1, 1])
    assert least_confidence(pool(SURE, OPEN, SPLIT)) == pytest.approx([0, 0.5, 0.5])
    # Mean (.6, .2, .2).
    assert margin(pool(THREE)) == pytest.approx([1 - 0.4])
    assert least_confidence(pool(THREE)) == pytest.approx([0.4])


def test_jsd_tells_patches_that_disagree_from_patches_in_doubt() -> None:
    assert patch_jsd(pool(SURE, OPEN, SPLIT)) == pytest.approx([0, 0, np.log(2)])
    entropy = [-sum(p * np.log(p) for p in patch) for patch in [*THREE, [0.6, 0.2, 0.2]]]
    assert patch_jsd(pool(THREE)) == pytest.approx([entropy[2] - (entropy[0] + entropy[1]) / 2])


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_jsd_reaches_log_c_and_no_more(classes: int) -> None:
    corners: NDArray[np.float64] = np.eye(classes)
    assert patch_jsd(pool(corners.tolist())) == pytest.approx([np.log(classes)], rel=1e-12)
    logits = np.random.default_rng(classes).normal(size=(500, 7, classes)) * 20
    found = patch_jsd(Pool.of([str(index) for index in range(500)], logits))
    assert found.min() >= 0
    assert found.max() <= np.log(classes)


def test_rarest_is_the_class_with_the_fewest_labels() -> None:
    assert rarest(pool(THREE, counts={0: 5, 1: 2, 2: 9})) == pytest.approx([0.2])
    assert rarest(pool(THREE, counts={0: 1, 1: 2, 2: 9})) == pytest.approx([0.6])
    # A class that nobody named has none.
    assert rarest(pool(THREE, counts={1: 2, 2: 9})) == pytest.approx([0.6])
    # Equal counts mean the last.
    assert rarest(pool([[0.8, 0.2]], counts={0: 4, 1: 4})) == pytest.approx([0.2])
    assert rarest(pool([[0.8, 0.2]])) == pytest.approx([0.2])


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "rarest"])
def test_the_order_of_classes_does_not_matter(name: str) -> None:
    for order in permutations(range(3)):
        turned = [[patch[each] for each in order] for patch in THREE]
        assert MEASURES[name](pool(turned)) == pytest.approx(MEASURES[name](pool(THREE)), rel=1e-12)


@pytest.mark.parametrize("name", MEASURES)
def test_extreme_logits_and_mixed_numbers_of_patches(name: str) -> None:
    logits = [np.array([[1e4, -1e4]]), np.array([[1e4, -1e4], [-1e4, 1e4], [0, 1]]), np.zeros((2, 2))]
    found = MEASURES[name](Pool.of(["a", "b", "c"], logits))
    alone = [MEASURES[name](Pool.of(["x"], [one]))[0] for one in logits]
    assert found.tolist() == alone
    assert np.isfinite(found).all()
