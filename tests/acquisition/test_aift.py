from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from overread_learn.acquisition.aift import CHUNK, majority, measure, score

PATTERNS = {
    "A": [0.48, 0.49, 0.5, 0.51, 0.52, 0.5, 0.49, 0.51, 0.505, 0.495, 0.52],
    "B": [0.02, 0.11, 0.21, 0.3, 0.4, 0.5, 0.61, 0.7, 0.79, 0.89, 0.98],
    "C": [0.001, 0.999, 0.001, 0.999, 0.001, 0.999, 0.001, 0.999, 0.001, 0.999, 0.999],
    "D": [0.999] * 11,
    "E": [0.001] * 11,
    "F": [0.998] * 9 + [0.03, 0.05],
    "G": [0.002] * 9 + [0.97, 0.95],
}


def binary(probabilities: list[float]) -> NDArray[np.float64]:
    p = np.array(probabilities)
    return np.stack([np.log(1 - p), np.log(p)], axis=-1)


def scores(alpha: float, entropy: float, diversity: float) -> dict[str, float]:
    found = measure(np.stack([binary(pattern) for pattern in PATTERNS.values()]), alpha)
    return dict(zip(PATTERNS, score(found, found.k, entropy, diversity), strict=True))


@pytest.mark.parametrize(
    ("alpha", "entropy", "diversity", "first"),
    [(1, 1, 0, "A"), (0.25, 1, 0, "A"), (1, 0, 1, "C"), (1, 1, 1, "C"), (0.25, 0, 1, "B"), (0.25, 1, 1, "B")],
)
def test_first_choices_of_the_paper(alpha: float, entropy: float, diversity: float, first: str) -> None:
    found = scores(alpha, entropy, diversity)
    assert max(found, key=lambda name: found[name]) == first
    assert found["D"] == pytest.approx(found["E"], rel=1e-12, abs=1e-14)
    assert found["F"] == pytest.approx(found["G"], rel=1e-12, abs=1e-14)
    if alpha < 1:
        assert max(found["C"], found["D"], found["E"]) < 0.02


@pytest.mark.parametrize(
    ("alpha", "patches", "k"),
    [(0.25, 11, 3), (0.25, 21, 5), (0.25, 24, 6), (0.25, 10, 3), (0.25, 8, 2), (0.25, 1, 1), (1, 7, 7), (0.01, 9, 1)],
)
def test_majority(alpha: float, patches: int, k: int) -> None:
    assert majority(alpha, patches) == k


def reference(logits: NDArray[Any], alpha: float) -> tuple[float, float, int]:
    """Eq. 1-4 as they stand, pair by pair, in long double on log-softmax."""
    z = logits.astype(np.longdouble)
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    dominant = int(np.round(p.mean(axis=0).astype(float), 12).argmax())
    others = np.delete(z, dominant, axis=1)
    peak = others.max(axis=1)
    log_odds = z[:, dominant] - peak - np.log(np.exp(others - peak[:, None]).sum(axis=1))
    kept = np.argsort(-log_odds)[: max(1, int(np.floor(alpha * len(z) + 0.5)))]
    p, log_p = p[kept], log_p[kept]
    entropy = -(p * log_p).sum()
    diversity = ((p[:, None] - p[None]) * (log_p[:, None] - log_p[None])).sum()
    return float(entropy), float(diversity), dominant


def agree(logits: NDArray[Any], alpha: float) -> None:
    found = measure(logits[None], alpha)
    entropy, diversity, dominant = reference(logits, alpha)
    assert found.dominant[0] == dominant
    assert abs(found.entropy[0] - entropy) <= 1e-9 * max(1, abs(entropy))
    assert abs(found.diversity[0] - diversity) <= 1e-9 * max(1, abs(diversity))


FINITE = st.floats(-40, 40, allow_subnormal=False)


CASES = settings(max_examples=4000, deadline=None)


@CASES
@given(arrays(np.float64, st.tuples(st.integers(1, 13), st.just(2)), elements=FINITE), st.sampled_from([1.0, 0.25]))
def test_closed_form_is_the_sum_over_pairs(logits: NDArray[np.float64], alpha: float) -> None:
    agree(logits, alpha)


@CASES
@given(arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(3, 5)), elements=FINITE))
def test_closed_form_with_several_classes(logits: NDArray[np.float64]) -> None:
    agree(logits, 1.0)


@CASES
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(2, 5), st.floats(0.01, 60), st.sampled_from([1.0, 0.25])
)
def test_closed_form_over_many_sizes(seed: int, patches: int, classes: int, spread: float, alpha: float) -> None:
    # Drawn from a continuous law: majority selection meets no ties, which the pairwise way does not know to break.
    agree(np.random.default_rng(seed).normal(size=(patches, classes)) * spread, alpha)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("offset", [0, 1e4, -1e4])
def test_closed_form_with_majority_and_common_offsets(classes: int, offset: float) -> None:
    rng = np.random.default_rng(classes)
    for spread in (0.01, 1, 30):
        logits = rng.normal(size=(24, classes)) * spread
        shifted = logits + offset * rng.choice([1, 0.5], size=(24, 1))
        agree(shifted, 0.25)
        plain, moved = measure(logits[None], 0.25), measure(shifted[None], 0.25)
        assert moved.diversity[0] == pytest.approx(plain.diversity[0], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_extreme_logits_neither_overflow_nor_vanish(classes: int) -> None:
    logits = np.full((4, classes), -1e4)
    logits[::2, 0] = 1e4
    logits[1::2, 1] = 1e4
    found = measure(logits[None], 1.0)
    # Each of the 8 ordered pairs of unlike patches: (1 - 0) * 2e4 for either class.
    assert found.diversity[0] == pytest.approx(8 * 4e4)
    assert found.entropy[0] == 0
    agree(logits, 1.0)


def test_the_entropy_of_certain_patches_is_not_lost_beside_one() -> None:
    d = np.linspace(40, 700, 37)  # exp(-d) is less than the last digit of 1
    logits = np.stack([np.zeros_like(d), d], axis=-1)[None]
    assert measure(logits, 1.0).entropy[0] == pytest.approx(((1 + d) * np.exp(-d)).sum(), rel=1e-12, abs=0)
    alone = measure(logits[:, -1:], 1.0).entropy[0]
    assert alone == pytest.approx(701 * np.exp(-700), rel=1e-12, abs=0)


def test_the_entropy_of_many_undecided_patches_does_not_overflow() -> None:
    assert measure(np.zeros((1, 5001, 2)), 1.0).entropy[0] == pytest.approx(5001 * np.log(2), rel=1e-12)


def test_majority_ranks_saturated_patches_by_log_odds() -> None:
    # Every probability is 1.0 in float64; the two most certain are 90 and 80.
    logits = np.array([[0, 50], [0, 90], [0, 60], [0, 80], [0, 70], [0, 55], [0, 41], [0, 40]], dtype=float)
    kept = np.array([[0, 90], [0, 80]], dtype=float)
    assert measure(logits[None], 0.25).diversity[0] == measure(kept[None], 1.0).diversity[0]


def test_a_tie_of_the_mean_is_negative() -> None:
    assert measure(binary([0.3, 0.7])[None], 1.0).dominant[0] == 0
    assert measure(binary([0.3, 0.7, 0.1, 0.9, 0.25, 0.75, 0.5])[None], 0.25).dominant[0] == 0
    assert measure(binary([0.3, 0.701])[None], 1.0).dominant[0] == 1
    assert measure(np.array([[[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]]), 1.0).dominant[0] == 1


@pytest.mark.parametrize("classes", [2, 4])
def test_the_order_of_patches_does_not_matter(classes: int) -> None:
    rng = np.random.default_rng(0)
    # Whole numbers, so that equal log-odds occur.
    logits = rng.integers(-2, 3, size=(50, 12, classes)).astype(float)
    found, turned = measure(logits, 0.25), measure(logits[:, rng.permutation(12)], 0.25)
    assert np.allclose(found.entropy, turned.entropy, rtol=0, atol=1e-13)
    assert np.allclose(found.diversity, turned.diversity, rtol=0, atol=1e-13)
    assert np.array_equal(found.dominant, turned.dominant)


def test_the_order_of_classes_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(200, 12, 4))
    # Patches of equal log-odds for class 0 that differ in the rest.
    logits[:, :6, 0] = 3 + np.log(np.exp(logits[:, :6, 1:]).sum(axis=2))
    order = [2, 0, 3, 1]
    found, renamed = measure(logits, 0.25), measure(logits[:, :, order], 0.25)
    assert np.array_equal(found.dominant, np.array(order)[renamed.dominant])
    assert np.allclose(found.diversity, renamed.diversity, rtol=1e-12, atol=1e-12)


def test_the_order_of_classes_does_not_matter_where_patches_are_mirror_images() -> None:
    # Of three patches with equal log-odds and equal sorted logits two are kept: the two that agree.
    logits = np.array([[[2.0, 0, -1], [2, -1, 0], [2, 0, -1], [1, 0, 0]]])
    assert measure(logits, 0.5).diversity == measure(logits[:, :, [0, 2, 1]], 0.5).diversity == [0.0]
    rng = np.random.default_rng(3)
    whole = np.round(rng.normal(0, 2, (4000, 9, 4)))  # ties in plenty
    found = measure(whole, 0.5)
    order, patches = rng.permutation(4), rng.permutation(9)
    renamed, shuffled = measure(whole[:, :, order], 0.5), measure(whole[:, patches], 0.5)
    same = order[renamed.dominant] == found.dominant  # not where two classes are equally likely
    assert same.mean() > 0.99
    assert np.allclose(found.diversity[same], renamed.diversity[same], rtol=1e-9, atol=1e-12)
    assert np.allclose(found.diversity, shuffled.diversity, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.25, 1.0])
@pytest.mark.parametrize("patches", [1, 5, 24])
def test_candidates_are_measured_alike_however_many_there_are(patches: int, alpha: float) -> None:
    logits = np.random.default_rng(0).normal(size=(8200, patches, 2)).astype(np.float32)
    found = measure(logits, alpha)
    edge = CHUNK // (2 * patches)
    for begin in (0, edge - 1, edge, 8193):
        for count in (1, 2, 3, 7):
            part = slice(begin, begin + count)
            few = measure(logits[part], alpha)
            assert np.array_equal(few.entropy, found.entropy[part])
            assert np.array_equal(few.diversity, found.diversity[part])


def test_score_is_the_papers_sum_over_k_where_k_is_nominal() -> None:
    logits = np.random.default_rng(0).normal(size=(6, 11, 2))
    found = measure(logits, 0.25)
    assert found.k == 3
    assert score(found, 3, 1, 1) == pytest.approx((found.entropy + found.diversity) / 3)


def test_score_does_not_grow_with_the_number_of_patches() -> None:
    # The same patches twice: the mean over pairs barely changes, where the sum quadruples.
    logits = np.random.default_rng(0).normal(size=(1, 20, 2))
    once, twice = measure(logits, 1.0), measure(np.repeat(logits, 2, axis=1), 1.0)
    assert score(twice, 20, 1, 0)[0] == pytest.approx(score(once, 20, 1, 0)[0])
    # With replacement, a patch pairs with its own copy: (2k - 2)/(2k - 1) of the mean remains.
    assert score(twice, 20, 0, 1)[0] == pytest.approx(score(once, 20, 0, 1)[0] * 38 / 39)


@pytest.mark.parametrize(
    ("logits", "alpha", "complaint"),
    [
        (np.zeros((2, 3)), 1.0, "candidates, patches"),
        (np.zeros((2, 0, 2)), 1.0, "patches >= 1"),
        (np.zeros((2, 3, 1)), 1.0, "classes >= 2"),
        (np.zeros((2, 3, 2)), 0.0, "alpha"),
        (np.zeros((2, 3, 2)), 1.1, "alpha"),
        (np.full((2, 3, 2), np.inf), 1.0, "not finite"),
        (np.full((2, 3, 4), np.nan), 1.0, "not finite"),
    ],
)
def test_what_cannot_be_measured(logits: NDArray[Any], alpha: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        measure(logits, alpha)
