from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import Pool, select
from overread_learn.acquisition import reference as module
from overread_learn.acquisition.aift import measure, score
from overread_learn.acquisition.explain import explain_picks
from overread_learn.acquisition.reference import EPSILON, reference, sums

SEVEN = [
    [0.5, 0.49, 0.51, 0.52, 0.48, 0.5, 0.505, 0.495, 0.51, 0.49, 0.52],
    [0.01, 0.1, 0.2, 0.31, 0.4, 0.51, 0.6, 0.69, 0.8, 0.92, 0.99],
    [0.002, 0.998] * 5 + [0.998],
    [0.998] * 11,
    [0.002] * 11,
    [0.997] * 9 + [0.04, 0.06],
    [0.003] * 9 + [0.96, 0.94],
]
"""AIFT's patterns A to G, eleven patches each."""


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("alpha", [1.0, 0.25])
@pytest.mark.parametrize(("entropy", "diversity"), [(1, 0), (0, 1), (1, 1), (2, 0.5)])
def test_the_closed_form_times_k_on_moderate_logits(
    classes: int, alpha: float, entropy: float, diversity: float
) -> None:
    logits = np.random.default_rng(classes).normal(size=(300, 11, classes))
    found = measure(logits, alpha)
    ours = score(found, found.k, entropy, diversity) * found.k
    assert reference(logits, alpha, entropy, diversity) == pytest.approx(ours, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("alpha", "entropy", "diversity", "first"),
    [(1, 1, 0, "A"), (0.25, 1, 0, "A"), (1, 0, 1, "C"), (1, 1, 1, "C"), (0.25, 0, 1, "B"), (0.25, 1, 1, "B")],
)
def test_first_choices_of_the_paper(alpha: float, entropy: float, diversity: float, first: str) -> None:
    p = np.array(SEVEN)
    found = reference(np.stack([np.log(1 - p), np.log(p)], axis=-1), alpha, entropy, diversity)
    assert "ABCDEFG"[int(found.argmax())] == first
    assert found[3] == pytest.approx(found[4], abs=1e-9)
    assert found[5] == pytest.approx(found[6], rel=1e-9)


def test_it_differs_where_probabilities_saturate() -> None:
    # Two patches of opposite certainty: the divergence grows with the logits, its epsilon does not let it.
    logits = np.array([[[0.0, 60.0], [60.0, 0.0]]])
    assert measure(logits, 1.0).diversity[0] == pytest.approx(2 * 2 * 60)
    assert reference(logits, 1.0, 0, 1)[0] == pytest.approx(2 * 2 * -np.log(EPSILON), rel=1e-6)
    # So it takes these for as unlike as those.
    assert reference(2 * logits, 1.0, 0, 1) == pytest.approx(reference(logits, 1.0, 0, 1), rel=1e-6)


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 6, 3)).astype(np.float32)
    whole = reference(logits, 1.0, 1, 1)
    monkeypatch.setattr(module, "CHUNK", 1)
    assert reference(logits, 1.0, 1, 1).tolist() == whole.tolist()


# Ranked by it


def binary(*probabilities: float) -> NDArray[np.float64]:
    p = np.array(probabilities)
    return np.stack([np.log(1 - p), np.log(p)], axis=-1)


SURE = 36.0529040
"""-ln(2.2e-16), the most that the papers' logarithm says."""
KNOWN = [
    # ln 2 + .562335, and both pairs of (.5 - .25) ln 3.
    (binary(0.5, 0.25), 1, 1.2554823, 0.5493061, 2),
    # Two patches in doubt have no divergence.
    (binary(0.5, 0.5), 1, 2 * 0.6931472, 0, 2),
    # Opposite certainty: 2 (1 - 0) (ln 1 - ln eps) for each of both pairs.
    (np.array([[0, 800.0], [800, 0]]), 1, 0, 4 * SURE, 2),
    # Of ten patches three are kept, all alike: .2 and .8 have an entropy of .5004024.
    (binary(*[0.8] * 3, *[0.2] * 7), 0.25, 3 * 0.5004024, 0, 3),
    # Of four one: the surest of the negative ones, -.1 ln .1 - .9 ln .9.
    (binary(0.1, 0.4, 0.3, 0.7), 0.25, 0.3250830, 0, 1),
    # Three classes, (1/2, 1/4, 1/4) and (1/4, 1/2, 1/4): 1.0397208 each, and twice (1/4) ln 2 for both pairs.
    (np.log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), 1, 2 * 1.0397208, 4 * 0.25 * 0.6931472, 2),
]


@pytest.mark.parametrize(("logits", "alpha", "entropy", "diversity", "k"), KNOWN)
def test_vectors_with_known_answers(logits: Any, alpha: float, entropy: float, diversity: float, k: int) -> None:
    found = sums(logits[None], alpha)
    assert found.k == k
    assert found.entropy[0] == pytest.approx(entropy, abs=1e-6)
    assert found.diversity[0] == pytest.approx(diversity, abs=1e-6)
    pool = Pool.of(["it"], [logits])
    (pick,) = select(pool, f"aift-3-2@{alpha:g}", 1, seed=0, k_ref_m=99, reference=True)
    assert pick.score == pytest.approx(3 * entropy + 2 * diversity, abs=1e-5)
    assert (pick.entropy, pick.diversity, pick.majority) == (found.entropy[0], found.diversity[0], k)
    told = explain_picks(pool, ["it"], f"aift-3-2@{alpha:g}", 1, seed=0, k_ref_m=99, reference=True)["it"]
    assert told.value == pytest.approx(pick.score)
    assert told.pick == pick
    assert sum(patch.kept for patch in told.patches) == k
    assert sum(patch.entropy for patch in told.patches) == pytest.approx(pick.entropy, abs=1e-12)
    assert sum(patch.diversity for patch in told.patches) == pytest.approx(pick.diversity, abs=1e-12)
    assert "nats, the papers' sums over the" in told.sentence
    assert "by our arithmetic pick 1" in told.sentence


def order(pool: Pool, name: str, k_ref_m: int, *, theirs: bool) -> list[str]:
    return [pick.id for pick in select(pool, name, len(pool), seed=0, k_ref_m=k_ref_m, reference=theirs)]


def test_it_ranks_otherwise_where_it_is_said_to() -> None:
    # Raw sums: more patches come first.
    small = np.random.default_rng(0).normal(size=(8, 2))
    mixed = Pool.of(["big", "lively", "small"], [np.repeat(small, 3, axis=0), small * 1.1, small])
    assert order(mixed, "diversity", 8, theirs=True)[0] == "big"
    assert order(mixed, "diversity", 8, theirs=False)[0] == "lively"
    # An epsilon: certain patches are alike, and of equal ones the smaller id comes first.
    certain = Pool.of(["a", "b"], [np.array([[0, 80.0], [80, 0]]), np.array([[0, 160.0], [160, 0]])])
    assert order(certain, "diversity", 2, theirs=True) == ["a", "b"]
    assert order(certain, "diversity", 2, theirs=False) == ["b", "a"]
    # No percentiles: a single patch has no pair, whatever its entropy.
    single = Pool.of(["doubt", "pair"], [np.zeros((1, 2)), np.array([[0, 0.0], [0, 0.5]])])
    assert order(single, "diversity", 2, theirs=True) == ["pair", "doubt"]
    # Patches by probability: of equal ones the first are kept, not those of the largest log-odds.
    saturated = np.array([[0, odds] for odds in (50.0, 90, 60, 80, 70, 55, 51, 40)])
    for theirs, kept in ((True, [0, 1]), (False, [1, 3])):
        told = explain_picks(Pool.of(["a"], [saturated]), ["a"], "sum@.25", 1, seed=0, k_ref_m=8, reference=theirs)
        assert [place for place, patch in enumerate(told["a"].patches) if patch.kept] == kept


@pytest.mark.parametrize("name", ["entropy", "entropy@.25", "diversity", "diversity@.25", "sum", "sum@.25"])
def test_equal_numbers_of_patches_rank_alike(name: str) -> None:
    logits = np.random.default_rng(1).normal(size=(60, 11, 3))
    pool = Pool.of([f"c{index:02}" for index in range(60)], logits)
    assert order(pool, name, 11, theirs=True) == order(pool, name, 11, theirs=False)


def test_acfts_draws_take_its_scores() -> None:
    pool = Pool.of([f"c{index:02}" for index in range(60)], np.random.default_rng(1).normal(size=(60, 12, 2)))
    top = order(pool, "diversity@.25", 12, theirs=True)[:20]
    picks = select(pool, "acft", 4, seed=0, k_ref_m=12, reference=True)
    assert {pick.id for pick in picks} <= set(top)
    # A' is the same of ours, which are these over k: so are the draws.
    assert [pick.id for pick in picks] == [pick.id for pick in select(pool, "acft", 4, seed=0, k_ref_m=12)]


@pytest.mark.parametrize("name", ["margin", "random", "badge", "random:sum"])
def test_what_the_papers_do_not_define_has_no_reference(name: str) -> None:
    with pytest.raises(ValueError, match="the papers' arithmetic is that of entropy, diversity, sum and aift-L1-L2"):
        select(Pool.of(["a"], np.zeros((1, 2, 2))), name, 1, seed=0, k_ref_m=2, reference=True)
