import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_curve

from overread_learn.evaluate import OneClass, auc, roc_curve

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("levels", [3, 20, 10**9])
def test_auc_is_that_of_scikit_learn(levels: int) -> None:
    for _ in range(20):
        labels = RNG.permutation(np.arange(60) < RNG.integers(1, 59))
        scores = np.round((RNG.random(60) + 0.3 * labels) * levels)
        assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_ties_count_half() -> None:
    assert auc([0, 1], [0.5, 0.5]) == 0.5
    assert auc([0, 1, 1], [0.5, 0.5, 0.6]) == 0.75
    assert auc([0, 0, 1], [1, 2, 3]) == 1
    assert auc([0, 0, 1], [1, 2, 0]) == 0


def test_curve_is_that_of_scikit_learn_and_encloses_the_auc() -> None:
    labels = RNG.integers(0, 2, 80)
    scores = np.round(RNG.random(80) + 0.2 * labels, 1)
    fpr, tpr, thresholds = roc_curve(labels, scores)
    expected = sklearn_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(fpr, expected[0])
    assert np.allclose(tpr, expected[1])
    assert np.array_equal(thresholds, expected[2])
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc(labels, scores))


@pytest.mark.parametrize("function", [auc, roc_curve])
@pytest.mark.parametrize(
    ("labels", "scores", "kind", "complaint"),
    [
        ([1, 1], [0.1, 0.2], OneClass, "all 2 labels are positive"),
        ([0, 0, 0], [0.1, 0.2, 0.3], OneClass, "all 3 labels are negative"),
        ([], [], OneClass, "no label"),
        ([0, 2], [0.1, 0.2], ValueError, "0 or 1"),
        ([0, 1], [0.1, np.nan], ValueError, "not finite"),
        ([0, 1], [0.1], ValueError, "one length"),
    ],
)
def test_what_has_no_curve(
    function: object, labels: list[int], scores: list[float], kind: type[Exception], complaint: str
) -> None:
    assert callable(function)
    with pytest.raises(kind, match=complaint):
        function(labels, scores)


def test_order_does_not_matter() -> None:
    labels: NDArray[np.int64] = RNG.integers(0, 2, 50)
    scores = RNG.random(50)
    order = RNG.permutation(50)
    assert auc(labels, scores) == auc(labels[order], scores[order])
