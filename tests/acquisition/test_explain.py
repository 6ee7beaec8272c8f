from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import STRATEGIES, Pool, select, strategy
from overread_learn.acquisition.explain import explain
from overread_learn.acquisition.uncertainty import margin, patch_jsd

RNG = np.random.default_rng(0)
AIFT = ["entropy", "entropy@.25", "diversity@.25", "sum", "sum@.25", "aift-2-0.5@.5"]


def log_softmax(logits: NDArray[Any]) -> NDArray[np.longdouble]:
    z = logits.astype(np.longdouble)
    return np.asarray(
        z - np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)) - z.max(axis=1, keepdims=True)
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", AIFT)
def test_the_terms_are_those_that_picked_it(name: str, classes: int) -> None:
    logits = [RNG.normal(size=(m, classes)) * 3 for m in (8, 6, 12, 7)]
    picks = select(Pool.of(list("abcd"), logits), name, 4, seed=0, k_ref_m=8)
    for pick in picks:
        found = explain(logits["abcd".index(pick.id)], name, 8)
        assert (found.entropy, found.diversity) == (pick.entropy, pick.diversity)
        assert (found.dominant, found.majority) == (pick.dominant, pick.majority)
        assert sum(patch.kept for patch in found.patches) == pick.majority
        assert sum(patch.entropy for patch in found.patches) == pytest.approx(pick.entropy, rel=1e-12)
        assert sum(patch.diversity for patch in found.patches) == pytest.approx(pick.diversity, rel=1e-12)
        chosen = strategy(name)
        assert pick.score == pytest.approx(chosen.entropy * found.entropy + chosen.diversity * found.diversity)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_patchs_share_is_its_row_of_the_matrix(classes: int) -> None:
    logits = RNG.normal(size=(12, classes)) * 4 + RNG.choice([0, 1e4], size=(12, 1))
    found = explain(logits, "sum@.25")
    kept = [place for place, patch in enumerate(found.patches) if patch.kept]
    assert len(kept) == 3
    log_p = log_softmax(logits)
    others = np.log(1 - np.exp(log_p[:, found.dominant]))
    assert set(kept) == set(np.argsort(others - log_p[:, found.dominant])[:3].tolist())
    own = log_p[kept]
    pairs = ((np.exp(own)[:, None] - np.exp(own)) * (own[:, None] - own)).sum(axis=2)
    for row, place in enumerate(kept):
        patch = found.patches[place]
        # The score is the matrix's sum over k.
        assert patch.diversity == pytest.approx(float(pairs[row].sum()) / 3, rel=1e-9)
        assert patch.entropy == pytest.approx(float(-(np.exp(own[row]) * own[row]).sum()) / 3, rel=1e-9)
        assert patch.probabilities == pytest.approx(np.exp(own[row]).astype(float).tolist())
    assert all(patch.entropy == patch.diversity == 0 for patch in found.patches if not patch.kept)
    assert min(patch.diversity for patch in found.patches) >= 0


def test_patches_of_equal_log_odds_are_kept_as_the_measure_keeps_them() -> None:
    # Class 0 has the same log-odds in all six patches, which differ in the rest; two of them are kept.
    logits = RNG.normal(size=(8, 3))
    logits[:6, 0] = 3 + np.log(np.exp(logits[:6, 1:]).sum(axis=1))
    for turn in range(8):
        found = explain(np.roll(logits, turn, axis=0), "sum@.25")
        assert found.diversity == pytest.approx(explain(logits, "sum@.25").diversity, rel=1e-12)
        assert sum(patch.diversity for patch in found.patches) == pytest.approx(found.diversity, rel=1e-12)


def test_the_other_measures() -> None:
    logits = RNG.normal(size=(9, 3))
    pool, found = Pool.of(["a"], [logits]), explain(logits, "margin")
    assert found.margin == pytest.approx(1 - margin(pool)[0])
    assert found.jsd == pytest.approx(patch_jsd(pool)[0])


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_its_sentence(name: str) -> None:
    logits = np.array([[0, 9], [0, 8.5], [0, 9], [0, 10.0]])
    found = explain(logits, name)
    assert found.strategy == name
    assert found.pattern == "E"
    assert found.sentence.startswith("all patches say yes (pattern E)")
    measure = strategy(name).measure
    assert (measure in found.sentence) or measure in {"", "aift"}
    if measure == "aift":
        assert f"the {found.majority} of 4 patches" in found.sentence
    assert ("gradient space" in found.sentence) == (strategy(name).draw == "badge")


def test_the_pattern_says_no_where_patches_say_no() -> None:
    assert explain(np.array([[9, 0], [8.5, 0], [9, 0], [10.0, 0]]), "sum").sentence.startswith("all patches say no")


@pytest.mark.parametrize("logits", [[[0.0, 1e4]], [[0.0, 1e4]] * 3, [[-1e4, 1e4], [1e4, -1e4]]])
def test_certain_patches_and_single_ones(logits: list[list[float]]) -> None:
    found = explain(np.array(logits), "sum@.25")
    assert found.majority == 1
    assert (found.entropy, found.diversity) == (0, 0)
    assert [patch.diversity for patch in found.patches] == [0] * len(logits)


@pytest.mark.parametrize(
    ("logits", "name", "complaint"),
    [
        (np.zeros((2, 2)), "marge", "unknown strategy"),
        (np.zeros(2), "sum", "candidates, patches"),
        (np.zeros((0, 2)), "sum", "patches >= 1"),
        (np.full((2, 2), np.nan), "sum", "not finite"),
    ],
)
def test_what_cannot_be_explained(logits: NDArray[Any], name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        explain(logits, name)
