import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.evaluate import OneClass, auc, clustered_auc, paired_difference

Cases = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def cases(seed: int, patients: int = 25, each: int = 8, digits: int = 1) -> Cases:
    """Candidates whose scores share a patient's own offset, and two readers who share some of each candidate."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), each)
    labels = (rng.random(len(owner)) < 0.1 + 0.5 * rng.random(patients)[owner]).astype(np.int64)
    shared = rng.normal(size=patients)[owner] + rng.normal(size=len(owner))
    one = np.round(shared + rng.normal(size=len(owner)) + 1.5 * labels, digits)
    two = np.round(shared + rng.normal(size=len(owner)) + 1.0 * labels, digits)
    return labels, one, two, owner


def brute(
    labels: NDArray[np.int64], readers: list[NDArray[np.float64]], owner: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Obuchowski's covariance matrix of the readers' AUCs, sum by sum as printed."""
    pos, neg = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    names = sorted(set(owner.tolist()))
    sums = []
    for scores in readers:
        psi = {(i, j): float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j]) for i in pos for j in neg}
        theta = sum(psi.values()) / len(psi)
        v10 = {i: sum(psi[i, j] for j in neg) / len(neg) for i in pos}
        v01 = {j: sum(psi[i, j] for i in pos) / len(pos) for j in neg}
        sums.append(
            [
                (
                    sum(v10[i] for i in pos if owner[i] == name) - theta * sum(owner[i] == name for i in pos),
                    sum(v01[j] for j in neg if owner[j] == name) - theta * sum(owner[j] == name for j in neg),
                )
                for name in names
            ]
        )
    i10, i01, count = len(set(owner[pos])), len(set(owner[neg])), len(names)
    m, n = len(pos), len(neg)
    matrix = np.empty((len(readers), len(readers)))
    for r, of_r in enumerate(sums):
        for s, of_s in enumerate(sums):
            s10 = i10 / ((i10 - 1) * m) * sum(a[0] * b[0] for a, b in zip(of_r, of_s, strict=True))
            s01 = i01 / ((i01 - 1) * n) * sum(a[1] * b[1] for a, b in zip(of_r, of_s, strict=True))
            s11 = count / (count - 1) * sum(a[0] * b[1] + a[1] * b[0] for a, b in zip(of_r, of_s, strict=True))
            matrix[r, s] = s10 / m + s01 / n + s11 / (m * n)
    return matrix


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_sums_as_printed(seed: int) -> None:
    labels, one, two, owner = cases(seed)
    matrix = brute(labels, [one, two], owner)
    for index, scores in enumerate((one, two)):
        found = clustered_auc(labels, scores, owner)
        assert found.value == pytest.approx(auc(labels, scores), abs=1e-12)
        assert found.se == pytest.approx(math.sqrt(matrix[index, index]), rel=1e-9)
    difference = paired_difference(labels, one, two, owner)
    expected = math.sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1])
    assert difference.se == pytest.approx(expected, rel=1e-9)
    assert difference.difference == pytest.approx(auc(labels, one) - auc(labels, two))
    assert (difference.auc_new, difference.auc_ref) == pytest.approx((auc(labels, one), auc(labels, two)))


def test_one_candidate_a_patient_is_delong() -> None:
    labels, scores, _, _ = cases(5)
    pos, neg = scores[labels == 1], scores[labels == 0]
    psi = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
    expected = psi.mean(axis=1).var(ddof=1) / len(pos) + psi.mean(axis=0).var(ddof=1) / len(neg)
    assert clustered_auc(labels, scores, np.arange(len(labels))).se == pytest.approx(math.sqrt(expected))


def test_standard_errors_are_those_of_a_bootstrap_over_patients() -> None:
    labels, one, two, owner = cases(1, patients=80, digits=9)
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(owner == name) for name in range(80)]
    values, differences = [], []
    for _ in range(800):
        drawn = np.concatenate([members[name] for name in rng.integers(0, 80, 80)])
        values.append(auc(labels[drawn], one[drawn]))
        differences.append(values[-1] - auc(labels[drawn], two[drawn]))
    assert clustered_auc(labels, one, owner).se == pytest.approx(np.std(values), rel=0.12)
    assert paired_difference(labels, one, two, owner).se == pytest.approx(np.std(differences), rel=0.12)


def test_clusters_matter() -> None:
    labels, scores, _, owner = cases(2)
    # Every candidate twice says nothing new: the error stays, where independent candidates would shrink it by 1.4.
    doubled = [np.tile(array, 2) for array in (labels, scores, owner)]
    once, twice = clustered_auc(labels, scores, owner), clustered_auc(*doubled)
    assert twice.se == pytest.approx(once.se)
    assert (twice.n_pos, twice.n_neg, twice.patients) == (2 * once.n_pos, 2 * once.n_neg, 25)


def test_intervals() -> None:
    labels, one, two, owner = cases(3)
    found = clustered_auc(labels, one, owner, alpha=0.1)
    assert (found.value - found.lower, found.upper - found.value) == pytest.approx((1.6448536 * found.se,) * 2)
    difference = paired_difference(labels, one, two, owner)
    assert difference.lower_one_sided == pytest.approx(difference.difference - 1.6448536 * difference.se)
    middle = (difference.interval[0] + difference.interval[1]) / 2
    assert middle == pytest.approx(difference.difference)
    assert difference.interval[1] - middle == pytest.approx(1.9599640 * difference.se)


def test_a_perfect_score_stays_within_one_and_equal_scores_do_not_differ() -> None:
    labels, one, _, owner = cases(4)
    perfect = clustered_auc(labels, labels, owner)
    assert (perfect.value, perfect.se, perfect.lower, perfect.upper) == (1, 0, 1, 1)
    near = labels + np.where(np.arange(len(labels)) == np.flatnonzero(labels)[0], -2, 0)
    assert clustered_auc(labels, near, owner).upper == 1
    same = paired_difference(labels, one, 3 * one + 1, owner)
    assert (same.difference, same.se, same.interval) == (0, 0, (0, 0))


def test_names_of_patients_are_free() -> None:
    labels, one, _, owner = cases(6)
    named = clustered_auc(labels, one, [f"patient {name}" for name in owner])
    assert named == pytest.approx(clustered_auc(labels, one, owner))


def test_three_thousand_candidates_take_milliseconds() -> None:
    labels, one, two, owner = cases(7, patients=100, each=30)
    start = time.perf_counter()
    paired_difference(labels, one, two, owner)
    assert time.perf_counter() - start < 0.25  # it takes .002; the pairs, one by one, take seconds


def test_what_has_no_variance() -> None:
    with pytest.raises(ValueError, match="of 2 patients, 1 have positives and 2 have negatives"):
        clustered_auc([1, 0, 0, 0], [1, 2, 3, 4], ["a", "a", "b", "b"])
    with pytest.raises(OneClass):
        clustered_auc([1, 1], [1, 2], ["a", "b"])
    with pytest.raises(ValueError, match="2 labels came with 1 patients"):
        clustered_auc([1, 0], [1, 2], ["a"])
