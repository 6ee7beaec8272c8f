import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from overread_learn.evaluate import OneClass, average_precision, precision_recall

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("levels", [3, 20, 10**9])
def test_both_are_those_of_scikit_learn(levels: int) -> None:
    for _ in range(20):
        labels = RNG.permutation(np.arange(60) < RNG.integers(1, 61)).astype(int)
        scores = np.round((RNG.random(60) + 0.3 * labels) * levels)
        assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
        precision, recall, thresholds = precision_recall_curve(labels, scores)
        found = precision_recall(labels, scores)
        assert np.allclose(found.precision, precision[::-1])
        assert np.allclose(found.recall, recall[::-1])
        assert np.array_equal(found.thresholds[1:], thresholds[::-1])


def test_closed_cases() -> None:
    assert average_precision([1, 0, 0, 0], [4, 3, 2, 1]) == 1
    assert average_precision([0, 0, 0, 1], [4, 3, 2, 1]) == 0.25
    assert average_precision([1, 0, 1, 0], [1, 1, 1, 1]) == 0.5  # ties: all are called at once
    assert average_precision([1, 1], [0.1, 0.2]) == 1  # no negative is needed
    assert precision_recall([0, 1], [2, 1]).precision.tolist() == [1, 0, 0.5]


def test_what_has_no_curve() -> None:
    with pytest.raises(OneClass, match="none of 2 labels is positive"):
        average_precision([0, 0], [1, 2])
    with pytest.raises(OneClass, match="none of 0"):
        average_precision([], [])
    with pytest.raises(ValueError, match="0 or 1"):
        average_precision([0, 2], [1, 2])
    with pytest.raises(ValueError, match="not finite"):
        average_precision([0, 1], [1, np.inf])
