import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_curve

from overread_learn.evaluate import OneClass, auc, macro_auc, partial_auc, roc_curve

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


@pytest.mark.parametrize("levels", [3, 20, 10**9])
@pytest.mark.parametrize("most", [0.1, 0.25, 0.5, 1.0])
def test_standardised_partial_auc_is_that_of_scikit_learn(levels: int, most: float) -> None:
    for _ in range(10):
        labels = RNG.permutation(np.arange(40) < RNG.integers(1, 39))
        scores = np.round((RNG.random(40) + 0.3 * labels) * levels)
        expected = roc_auc_score(labels, scores, max_fpr=most)
        # scikit-learn does not standardise the whole area: .5 is chance there too.
        assert partial_auc(labels, scores, most, standardised=True) == pytest.approx(expected, abs=1e-12)


def test_partial_auc_closed_cases() -> None:
    assert partial_auc([0, 1], [0, 1], 0.2) == pytest.approx(0.2)
    assert partial_auc([0, 1], [1, 0], 0.2) == 0
    assert partial_auc([0, 1], [1, 1], 0.2) == pytest.approx(0.02)
    assert partial_auc([0, 1], [1, 1], 0.2, standardised=True) == pytest.approx(0.5)
    # A step that stands exactly at the limit adds nothing: one of two negatives is above the positive.
    assert partial_auc([0, 1, 0], [3, 2, 1], 0.5) == 0
    labels, scores = RNG.integers(0, 2, 30), RNG.random(30)
    assert partial_auc(labels, scores, 1) == pytest.approx(auc(labels, scores))
    for most in (0, 1.1):
        with pytest.raises(ValueError, match="false-positive rate must be in"):
            partial_auc([0, 1], [0, 1], most)


@pytest.mark.parametrize("classes", [3, 5])
def test_macro_auc_is_that_of_scikit_learn(classes: int) -> None:
    for _ in range(10):
        labels = RNG.permutation(np.arange(50) % classes)
        scores = np.round(RNG.random((50, classes)) + 0.3 * np.eye(classes)[labels], 1)
        scores /= scores.sum(axis=1, keepdims=True)
        expected = roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert macro_auc(labels, scores) == pytest.approx(expected, abs=1e-12)


def test_macro_auc_of_the_classes_that_are_there() -> None:
    labels = np.array([0, 0, 2, 2])
    scores = np.array([[0.9, 0, 0.1], [0.2, 0, 0.8], [0.1, 0, 0.9], [0.6, 0, 0.4]])
    assert macro_auc(labels, scores) == pytest.approx(
        (auc(labels == 0, scores[:, 0]) + auc(labels == 2, scores[:, 2])) / 2
    )
    assert macro_auc([0, 1, 1], [[0.1, 0.9], [0.9, 0.1], [0.2, 0.8]]) == auc([0, 1, 1], [0.9, 0.1, 0.8])
    assert macro_auc([0, 1, 1], [0.9, 0.1, 0.8]) == auc([0, 1, 1], [0.9, 0.1, 0.8])


def test_what_has_no_macro_auc() -> None:
    with pytest.raises(OneClass, match="all 2 labels are 1"):
        macro_auc([1, 1], np.ones((2, 3)))
    with pytest.raises(OneClass, match="no label at all"):
        macro_auc([], np.ones((0, 3)))
    with pytest.raises(ValueError, match=r"labels must be 0\.\.2, got \[0, 3\]"):
        macro_auc([0, 3], np.ones((2, 3)))
    with pytest.raises(ValueError, match="labels must be"):
        macro_auc([0, 1, 1], np.ones((2, 3)))
    with pytest.raises(ValueError, match="not finite"):
        macro_auc([0, 1], np.full((2, 3), np.nan))
