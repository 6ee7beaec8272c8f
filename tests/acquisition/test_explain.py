from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import STRATEGIES, Pool, select, strategy
from overread_learn.acquisition.explain import explain, explain_picks
from overread_learn.acquisition.uncertainty import MEASURES, margin, patch_jsd

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
        assert found.value is not None
        weighed = strategy(name).entropy * found.entropy + strategy(name).diversity * found.diversity
        assert found.value == pytest.approx(weighed)
    elif measure:
        (own,) = MEASURES[measure](Pool.of(["a"], [logits]))
        assert found.value == own
        assert f"{measure} {own:.3g} (" in found.sentence, "the value, not the name alone"
    else:
        assert found.value is None
    assert ("gradient space" in found.sentence) == (strategy(name).draw == "badge")


GOES_BY = {
    "random": "every candidate alike, by lot",
    "stratified": "this one is predicted class 1",
    "acft": "drawn by lot among the best 5 times the budget",
    "margin^2": "its measure to the power of 2",
    "coreset": "the farthest, by its embedding, from all that is labelled",
    "typiclust": "the most typical, by its embedding, of a cluster",
    "entropy@.25+badge2": "gradient space, from the others that were picked, among the best 2 times the budget",
}


@pytest.mark.parametrize("name", GOES_BY)
def test_the_sentence_says_what_was_gone_by(name: str) -> None:
    assert GOES_BY[name] in explain(np.array([[0, 9], [0, 8.5], [0, 9], [0, 10.0]]), name).sentence


@pytest.mark.parametrize("name", STRATEGIES)
def test_of_a_pool_every_candidate_is_explained_as_it_was_chosen(name: str) -> None:
    ids = [f"c{number:02}" for number in range(12)]
    logits, embeddings = [RNG.normal(size=(8, 2)) for _ in ids], RNG.normal(size=(12, 3))
    pool = Pool.of(ids, logits, embeddings=embeddings, counts={0: 5, 1: 2})
    picks = {pick.id: pick for pick in select(pool, name, 4, seed=1, k_ref_m=8)}
    found = explain_picks(pool, ids, name, 4, seed=1, k_ref_m=8)
    assert {each: one.pick for each, one in found.items() if one.pick} == picks
    for each, one in found.items():
        assert ("not among the 4 picks" in one.sentence) == (each not in picks)
        if (pick := one.pick) and pick.propensity is not None:
            assert f"with propensity {pick.propensity:.3g}" in one.sentence
        if strategy(name).draw in {"random", "stratified"} and one.pick:
            assert f"its lot {one.pick.score:.3g}" in one.sentence


def test_a_cold_start_is_explained_until_it_ends() -> None:
    logits = RNG.normal(size=(8, 2))
    cold, warm = explain(logits, "margin", 8, {0: 4}), explain(logits, "margin", 8, {0: 4, 1: 1})
    assert (cold.strategy, warm.strategy) == ("random", "margin")
    assert "random, the cold start of margin, chooses" in cold.sentence
    assert (cold.value, warm.value) == (None, pytest.approx(1 - warm.margin))
    assert explain(logits, "acft:margin", 8, {}).strategy == "acft"


def test_coresets_distance_is_that_to_the_nearest_before_it() -> None:
    embeddings = np.array([[0.0, 0], [3, 4], [0, 1]])
    pool = Pool.of(list("abc"), np.zeros((3, 2, 2)), embeddings=embeddings)
    found = explain_picks(pool, ["b", "c"], "coreset", 3, seed=0, k_ref_m=2)
    assert "the one nearest to the middle" in found["c"].sentence
    assert f"{np.hypot(3, 3):.3g} from the nearest of them" in found["b"].sentence
    known = Pool.of(list("abc"), np.zeros((3, 2, 2)), embeddings=embeddings, labelled=np.array([[0.0, 0]]))
    assert "5 from the nearest of them" in explain_picks(known, ["b"], "coreset", 1, seed=0, k_ref_m=2)["b"].sentence


def test_a_score_that_is_a_percentile_is_called_one() -> None:
    pool = Pool.of(["a", "b"], [RNG.normal(size=(2, 2)), RNG.normal(size=(8, 2))])
    found = explain_picks(pool, ["a", "b"], "sum@.25", 2, seed=0, k_ref_m=8)
    assert "the percentile of its entropy among those that keep one patch, for some keep" in found["a"].sentence
    assert "the percentile among those with more, for some keep one patch alone" in found["b"].sentence


def test_the_pattern_says_no_where_patches_say_no() -> None:
    assert explain(np.array([[9, 0], [8.5, 0], [9, 0], [10.0, 0]]), "sum").sentence.startswith("all patches say no")


MORE = {
    "A": [0.45, 0.5, 0.55, 0.5],
    "B": [0.12, 0.38, 0.62, 0.88, 0.75],
    "C": [0.01, 0.99, 0.99, 0.98, 0.02],
    "D": [0.14, 0.15, 0.16, 0.15],
    "E": [0.9, 0.89, 0.91, 0.899],
    "G": [0.97] * 9 + [0.4, 0.3],
}
"""Patterns that the likeliest of several classes may have: its patches' probabilities."""


@pytest.mark.parametrize("letter", MORE)
@pytest.mark.parametrize("likeliest", [0, 1, 3])
def test_of_several_classes_the_words_are_of_the_likeliest(letter: str, likeliest: int) -> None:
    own = np.array(MORE[letter])
    classes = 8 if letter == "D" else 4
    logits = np.log(np.repeat(((1 - own) / (classes - 1))[:, None], classes, axis=1))
    logits[:, likeliest] = np.log(own)
    for name in ("sum", "margin", "random"):
        found = explain(logits, name)
        assert (found.dominant, found.pattern_class, found.pattern) == (likeliest, likeliest, letter)
        assert found.sentence.startswith(f"class {likeliest} is the likeliest, {own.mean():.3g} on average, and ")
        assert f"(pattern {letter})" in found.sentence
        assert " say no" not in found.sentence
        assert " say yes" not in found.sentence


def test_a_class_is_called_by_its_name_where_that_is_known() -> None:
    p = np.array([[0.011, 0.899, 0.090]] * 4)
    pool = Pool.of(["a"], [np.log(p)], counts={0: 3, 1: 4, 2: 1})
    names = ("background", "lumen-intima", "media-adventitia")
    found = {
        name: explain_picks(pool, ["a"], name, 1, seed=0, k_ref_m=4, classes=names)["a"].sentence
        for name in ("sum", "rarest", "stratified")
    }
    for said in found.values():
        assert said.startswith(
            "class 1 (lumen-intima) is the likeliest, 0.899 on average, and all patches give it much"
        )
    assert "the probability of class 2 (media-adventitia), which has the fewest labels" in found["rarest"]
    assert "this one is predicted class 1 (lumen-intima)" in found["stratified"]
    two = explain(np.log(p[:, :2]), "rarest", counts={0: 1, 1: 3})
    assert (two.pattern_class, two.dominant) == (1, 1)
    assert two.sentence.startswith("all patches say yes (pattern E)"), "of two the second is looked for"
    assert "the probability of class 0, which has the fewest labels" in two.sentence


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
