import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.evaluate import OneClass, cpm, cpm_interval, froc_curve


def test_by_hand() -> None:
    # Four images, the last without a candidate; three lesions, one of which was never a candidate.
    curve = froc_curve([1, 0, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5], images=4, missed=1)
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert curve.false_alarms.tolist() == [0, 0, 0.25, 0.5, 0.5, 0.75]
    assert curve.sensitivity == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    # At 1/8 and 1/4 one lesion of three, from 1/2 on two.
    assert cpm(curve) == pytest.approx((2 * 1 / 3 + 5 * 2 / 3) / 7)


def brute(
    labels: NDArray[np.int64], scores: NDArray[np.float64], lesions: NDArray[np.int64], images: int, missed: int
) -> list[tuple[float, float]]:
    points = []
    total = len(set(lesions[labels == 1].tolist())) + missed
    for threshold in sorted(set(scores.tolist()), reverse=True):
        marked = scores >= threshold
        found = set(lesions[marked & (labels == 1)].tolist())
        points.append((float((marked & (labels == 0)).sum()) / images, len(found) / total))
    return points


@pytest.mark.parametrize("seed", range(5))
def test_several_candidates_of_one_lesion_count_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.random(60) + 0.2 * labels, 1)
    lesions = rng.integers(0, 12, 60)  # those of negatives mean nothing
    curve = froc_curve(labels, scores, images=20, missed=3, lesions=lesions)
    points = dict(zip(curve.thresholds, zip(curve.false_alarms, curve.sensitivity, strict=True), strict=True))
    expected = dict(zip(sorted(set(scores.tolist()), reverse=True), brute(labels, scores, lesions, 20, 3), strict=True))
    # A threshold at which only a lesion's second candidate appears is no point of its own.
    assert len(points) > 5
    for threshold, point in list(points.items())[1:]:
        assert point == pytest.approx(expected[threshold])
    assert (curve.false_alarms[-1], curve.sensitivity[-1]) == pytest.approx(expected[min(expected)])


def test_names_of_lesions_may_be_words() -> None:
    curve = froc_curve([1, 1, 0], [0.2, 0.8, 0.5], images=1, lesions=["upper", "upper", ""])
    assert curve.sensitivity.tolist() == [0, 1, 1]
    assert curve.false_alarms.tolist() == [0, 0, 1]


def test_extremes() -> None:
    assert cpm(froc_curve([1, 1, 0], [3, 2, 1], images=1)) == 1
    assert cpm(froc_curve([1], [3], images=5)) == 1  # no false alarm at all
    assert cpm(froc_curve([0, 0], [3, 2], images=1, missed=2)) == 0
    assert cpm(froc_curve([], [], images=7, missed=1)) == 0
    # Ties: a lesion and eight false alarms appear together; the straight line reaches 1 at 8 an image.
    curve = froc_curve([1] + [0] * 8, [1.0] * 9, images=1)
    assert cpm(curve) == pytest.approx(np.mean(np.array([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]) / 8))


def test_where_nothing_was_marked_the_interval_is_of_nothing() -> None:
    assert cpm_interval([], [], [], images=["a", "b", "c"], missed=["a", "b"], replicates=20) == (0, 0)


def test_what_is_refused() -> None:
    with pytest.raises(OneClass, match="no lesion in 3 images"):
        froc_curve([0], [0.5], images=3)
    with pytest.raises(ValueError, match="images >= 1"):
        froc_curve([1], [0.5], images=0)
    with pytest.raises(ValueError, match="missed >= 0"):
        froc_curve([1], [0.5], images=1, missed=-1)
    with pytest.raises(ValueError, match="1 candidates came with 2 names"):
        froc_curve([1], [0.5], images=1, lesions=[1, 2])
