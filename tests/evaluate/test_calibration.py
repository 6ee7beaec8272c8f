import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from overread_learn.evaluate import brier, ece, reliability, temperature
from overread_learn.scoring import softmax


def multiclass(seed: int, count: int = 4000, classes: int = 3) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Labels drawn from the very probabilities that the logits mean: temperature 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(count, classes))
    gumbel = rng.gumbel(size=logits.shape)
    return (logits + gumbel).argmax(axis=1), logits


def test_bins_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    labels = (rng.random(500) < scores**2).astype(int)
    observed, predicted = calibration_curve(labels, scores, n_bins=10)
    found = reliability(labels, scores, bins=10)
    assert [one.predicted for one in found] == pytest.approx(predicted)
    assert [one.observed for one in found] == pytest.approx(observed)
    assert sum(one.size for one in found) == 500
    assert brier(labels, scores) == pytest.approx(brier_score_loss(labels, scores))


def test_by_hand() -> None:
    labels, scores = [0, 1, 1, 1], [0.0, 0.2, 0.9, 1.0]
    found = reliability(labels, scores, bins=5)
    assert np.allclose(found, [(0, 0.2, 0.1, 0.5, 2), (0.8, 1, 0.95, 1, 2)])
    assert ece(labels, scores, bins=5) == pytest.approx((2 * 0.4 + 2 * 0.05) / 4)
    assert brier(labels, scores) == pytest.approx((0.8**2 + 0.1**2) / 4)
    assert brier(labels, np.stack([1 - np.array(scores), scores], axis=1)) == brier(labels, scores)


def test_the_top_class_of_several() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.6, 0.2, 0.2]])
    labels = np.array([0, 1, 0, 0])
    assert ece(labels, probabilities, bins=1) == pytest.approx(abs(3 / 4 - (0.6 + 0.7 + 0.6 + 0.6) / 4))
    rows = [(0.4, 0.3, 0.1), (0.1, 0.3, 0.2), (0.8, 0.2, 0.6), (0.4, 0.2, 0.2)]
    assert brier(labels, probabilities) == pytest.approx(sum(value**2 for row in rows for value in row) / 4)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_temperature_that_made_the_labels_is_found(classes: int) -> None:
    labels, logits = multiclass(classes, classes=classes)
    assert temperature(labels, logits) == pytest.approx(1, abs=0.06)
    for factor in (0.2, 3.0):
        assert temperature(labels, factor * logits) == pytest.approx(factor * temperature(labels, logits), rel=1e-3)
    too_sure = 3 * logits
    assert ece(labels, softmax(too_sure / temperature(labels, too_sure))) < 0.03
    assert ece(labels, softmax(too_sure)) > 0.1


def test_it_is_the_least_log_loss() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 40)
    # One to six patches a candidate, which agree in part.
    logits = [
        np.stack([np.zeros(m), rng.normal(size=m) * 3 + 2 * label], axis=1)
        for label, m in zip(labels, rng.integers(1, 7, 40), strict=True)
    ]

    # Platt's targets: each candidate in part one of the other class, n_c + 1 to 1.
    counts = np.bincount(labels)
    own = (counts[labels] + 1) / (counts[labels] + 2)

    def cost(t: float) -> float:
        found = [softmax(one / t).mean(axis=0) for one in logits]
        return float(log_loss(np.r_[labels, 1 - labels], [*found, *found], sample_weight=np.r_[own, 1 - own]))

    expected = minimize_scalar(cost, bounds=(0.1, 20), method="bounded").x
    assert temperature(labels, logits) == pytest.approx(expected, rel=1e-3)


def test_extremes_stay_finite() -> None:
    right = np.array([[1e4, -1e4], [-1e4, 1e4]])
    assert 1 / 10 <= temperature([0, 1], right) <= 10  # any would do
    assert temperature([1, 0], right / 1e4) == pytest.approx(10, rel=1e-3)  # all wrong: the least sure
    assert softmax(right).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(("each", "classes"), [(1, 2), (10, 2), (1000, 2), (10, 3)])
def test_what_is_all_right_becomes_as_sure_as_its_number_bears_out(each: int, classes: int) -> None:
    labels = np.repeat(np.arange(classes), each)
    logits = np.eye(classes)[labels] * 2.0
    probabilities = softmax(logits / temperature(labels, logits))
    assert probabilities.max(axis=1) == pytest.approx((each + 1) / (each + classes), abs=1e-4)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="labels must be"):
        ece([0, 1], [0.5])
    with pytest.raises(ValueError, match="labels must be"):
        ece([], [])
    with pytest.raises(ValueError, match=r"not in 0\.\.1"):
        brier([0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match=r"labels must be 0\.\.2, got \[0, 3\]"):
        brier([0, 3], np.full((2, 3), 1 / 3))
    with pytest.raises(ValueError, match="needs a patch"):
        temperature([0, 1], [np.zeros((0, 2)), np.zeros((1, 2))])
    with pytest.raises(ValueError, match="a logit is not finite"):
        temperature([0, 1], np.array([[0, 1], [np.inf, 1]]))
