import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.evaluate import (
    OneClass,
    PatientBootstrap,
    TooFewPatients,
    auc,
    average_precision,
    clustered_auc,
    interval,
    macro_auc,
)


def cases(seed: int, patients: int, classes: int = 2) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, patients, 5 * patients)
    truth = rng.integers(0, classes, len(owner))
    scores = (
        rng.normal(size=(len(owner), classes))
        + 0.8 * np.eye(classes)[truth]
        + 0.5 * rng.normal(size=patients)[owner, None]
    )
    return truth, np.round(scores, 1), [f"patient {one}" for one in owner]


# 200 patients: their negatives are counted in more than one table.
@pytest.mark.parametrize(("patients", "classes"), [(12, 2), (200, 2), (15, 3)])
def test_a_replicate_is_the_auc_of_the_repeated_candidates(patients: int, classes: int) -> None:
    truth, scores, owner = cases(patients, patients, classes)
    found = PatientBootstrap(truth, owner, replicates=20, seed=1)
    names = np.unique(owner)
    replicates = found.macro_auc(scores)
    assert (found.weights.sum(axis=1) == len(names)).all()
    for weights, value in zip(found.weights, replicates, strict=True):
        times = weights[np.searchsorted(names, owner)].astype(int)
        drawn = np.repeat(np.arange(len(truth)), times)
        assert value == pytest.approx(macro_auc(truth[drawn], scores[drawn]), abs=1e-12)
    if classes == 2:
        assert np.array_equal(found.macro_auc(scores[:, 1]), replicates)


def test_draws_without_a_class_are_drawn_again() -> None:
    truth = [1, 0, 0, 0, 0, 0]  # one patient has the only positive: 33 % of the draws lack it
    found = PatientBootstrap(truth, list("abcdef"), replicates=500, seed=0)
    assert found.weights.shape == (500, 6)
    assert (found.weights[:, 0] > 0).all()
    assert np.isfinite(found.macro_auc(np.arange(6.0))).all()


def test_draws_that_come_are_those_of_before() -> None:
    """Published intervals stand on them: what gives up must not disturb what need not."""
    eight = PatientBootstrap(np.arange(8), np.arange(8), replicates=1000, seed=0)  # one draw in 416 has all classes
    assert zlib.crc32(eight.weights.astype("<i8").tobytes()) == 3452686220
    assert np.array_equal(eight.weights, np.round(eight.weights))


def test_where_no_draw_has_all_classes_patients_get_weights() -> None:
    """Twenty patients, a class each: one draw in 43 million has all, and that is all patients once."""
    rng = np.random.default_rng(2)
    truth = np.repeat(np.arange(20), 3)
    scores = rng.normal(size=(60, 20)) + np.eye(20)[truth]
    found = PatientBootstrap(truth, truth, replicates=4000, seed=0)
    # Rubin: mean 1, variance (n - 1) / (n + 1), where draws have (n - 1) / n; each two covary by -1 / (n + 1).
    assert found.weights.shape == (4000, 20)
    assert found.weights.sum(axis=1) == pytest.approx(20)
    assert (found.weights > 0).all()
    assert found.weights.mean(axis=0) == pytest.approx(1, abs=0.07)
    assert found.weights.var(axis=0).mean() == pytest.approx(19 / 21, rel=0.03)
    # By hand: the mean over classes of the weighted share of the others that score below.
    below = [(scores[:, k][truth == k, None] > scores[:, k]) for k in range(20)]
    for weights, value in zip(found.weights[:5], found.macro_auc(scores)[:5], strict=True):
        each = weights[truth]
        by_hand = [np.average(below[k][:, truth != k].mean(axis=0), weights=each[truth != k]) for k in range(20)]
        assert value == pytest.approx(np.mean(by_hand))
    again = PatientBootstrap(truth, truth, replicates=4000, seed=0)
    assert np.array_equal(found.weights, again.weights)


def test_weights_say_of_an_auc_what_draws_say() -> None:
    truth, scores, owner = cases(3, 120)
    drawn = PatientBootstrap(truth, owner, replicates=4000, seed=0)
    weighted = PatientBootstrap(truth, owner, replicates=4000, seed=0)
    weighted.weights = 120 * np.random.default_rng(1).dirichlet(np.ones(120), size=4000)
    assert np.std(weighted.macro_auc(scores)) == pytest.approx(np.std(drawn.macro_auc(scores)), rel=0.06)


def test_seeded() -> None:
    truth, scores, owner = cases(0, 20)
    one, same, other = (PatientBootstrap(truth, owner, replicates=9, seed=s).macro_auc(scores) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_an_interval_is_that_of_the_clustered_standard_error() -> None:
    truth, scores, owner = cases(3, 120)
    column = scores[:, 1]
    expected = clustered_auc(truth, column, owner)
    lower, upper = interval(lambda drawn: auc(truth[drawn], column[drawn]), owner, replicates=600, seed=0)
    assert (upper - lower) / (expected.upper - expected.lower) == pytest.approx(1, abs=0.12)
    assert lower < expected.value < upper


def test_an_interval_of_any_figure_draws_patients_whole() -> None:
    seen: list[tuple[int, ...]] = []

    def figure(drawn: NDArray[np.intp]) -> float:
        seen.append(tuple(np.bincount(drawn, minlength=6)))
        return average_precision(np.array([1, 0, 1, 0, 0, 0])[drawn], np.arange(6.0)[drawn])

    lower, upper = interval(figure, [5, 5, 7, 7, 7, 9], replicates=200, seed=0)
    assert 0 < lower < upper <= 1
    assert all(a == b and c == d == e and a + c + f == 3 for a, b, c, d, e, f in seen)
    assert len(set(seen)) == 10  # of three patients, ten bags
    assert len(seen) > 200  # the draw of patient 9 alone has no positive, and was drawn again


def test_what_is_refused() -> None:
    with pytest.raises(OneClass, match=r"all 2 labels are \[1\]"):
        PatientBootstrap([1, 1], ["a", "b"], replicates=3, seed=0)
    with pytest.raises(ValueError, match="2 labels came with 1 patients"):
        PatientBootstrap([1, 0], ["a"], replicates=3, seed=0)

    def never(_drawn: NDArray[np.intp]) -> float:
        raise OneClass

    with pytest.raises(TooFewPatients, match="of 40 draws from 2 patients, 0 had all classes"):
        interval(never, ["a", "b"], replicates=2)
    with pytest.raises(TooFewPatients, match="needs two patients, got 1"):
        interval(lambda _: 0.5, ["a", "a"], replicates=2)
