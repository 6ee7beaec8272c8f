import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import Pick, Pool, select, strategy
from overread_learn.acquisition.aift import measure

AIFT = ["entropy", "entropy@.25", "diversity", "diversity@.25", "sum", "sum@.25"]

RNG = np.random.default_rng(0)
IDS = [f"c{index:02}" for index in range(30)]
POOL = [RNG.normal(size=(8, 2)) for _ in IDS]


def rank(ids: list[str], logits: list[NDArray[np.float64]], name: str, *, seed: int, k_ref_m: int) -> list[Pick]:
    return select(Pool.of(ids, logits), name, max(1, len(ids)), seed=seed, k_ref_m=k_ref_m)


def ids(strategy: str, names: list[str], pool: list[NDArray[np.float64]], seed: int = 1) -> list[str]:
    return [pick.id for pick in rank(names, pool, strategy, seed=seed, k_ref_m=8)]


@pytest.mark.parametrize("strategy", [*AIFT, "random", "margin", "least-confidence", "patch-jsd", "rarest"])
def test_best_first_whatever_the_order_of_the_pool(strategy: str) -> None:
    picks = rank(IDS, POOL, strategy, seed=1, k_ref_m=8)
    assert sorted(pick.id for pick in picks) == IDS
    assert [pick.rank for pick in picks] == list(range(30))
    assert [pick.score for pick in picks] == sorted((pick.score for pick in picks), reverse=True)
    order = np.random.default_rng(2).permutation(30)
    assert rank([IDS[i] for i in order], [POOL[i] for i in order], strategy, seed=1, k_ref_m=8) == picks


@pytest.mark.parametrize(("name", "k"), [("sum", 8), ("sum@.25", 2)])
def test_a_pick_says_why(name: str, k: int) -> None:
    picks = {pick.id: pick for pick in rank(IDS, POOL, name, seed=1, k_ref_m=8)}
    found = measure(POOL[4][None], strategy(name).alpha)
    pick = picks[IDS[4]]
    assert (pick.majority, pick.dominant) == (k, found.dominant[0])
    assert pick.entropy == pytest.approx(found.entropy[0] / k)
    assert pick.diversity == pytest.approx(found.diversity[0] / k)
    assert pick.score == pytest.approx(pick.entropy + pick.diversity)


def test_each_strategy_weighs_its_own_terms() -> None:
    for name in ("entropy", "diversity"):
        assert all(pick.score == getattr(pick, name) for pick in rank(IDS, POOL, name, seed=1, k_ref_m=8))


def test_random_depends_on_the_seed_and_not_on_the_logits() -> None:
    zeros = [np.zeros((8, 2))] * 30
    assert ids("random", IDS, POOL) == ids("random", IDS, zeros)
    assert ids("random", IDS, POOL) != ids("random", IDS, POOL, seed=2)
    # Each candidate is equally often in the first half.
    often = sum(name in ids("random", IDS, POOL, seed)[:15] for seed in range(400) for name in IDS[:1])
    assert 150 < often < 250


def test_random_keeps_its_order_while_the_pool_shrinks() -> None:
    assert ids("random", IDS[:20], POOL[:20]) == [name for name in ids("random", IDS, POOL) if name in IDS[:20]]


def test_ties_break_by_id() -> None:
    # Mirrored classes and turned patches: equal scores in exact arithmetic, in float64 perhaps not.
    one = RNG.normal(size=(8, 2))
    pool = [one, one[::-1], one[:, ::-1], one[[3, 1, 4, 0, 5, 2, 7, 6]] + 1e4]
    for name in ("entropy", "diversity", "sum", "diversity@.25"):
        assert ids(name, ["d", "b", "a", "c"], pool) == ["a", "b", "c", "d"]


def test_more_than_twelve_digits_apart_is_no_tie() -> None:
    pool = [np.array([[0.0, 1.0], [0.0, 2.0]]), np.array([[0.0, 1.0], [0.0, 2.0 + 1e-9]])]
    assert ids("diversity", ["a", "b"], pool) == ["b", "a"]
    pool[1][1, 1] = 2 + 1e-14
    assert ids("diversity", ["a", "b"], pool) == ["a", "b"]


def test_mixed_numbers_of_patches_compare_by_means() -> None:
    small = RNG.normal(size=(8, 2))
    big = np.repeat(small, 3, axis=0)
    lively = small * 3
    # A raw sum would put the 24 patches first, nine times over.
    assert ids("diversity", ["big", "lively", "small"], [big, lively, small])[0] == "lively"
    picks = {pick.id: pick for pick in rank(["big", "small"], [big, small], "sum", seed=0, k_ref_m=8)}
    assert picks["big"].entropy == pytest.approx(picks["small"].entropy)
    assert picks["big"].diversity == pytest.approx(picks["small"].diversity * (24 / 8) ** 2 * (8 * 7) / (24 * 23))


def test_a_single_patch_is_ranked_by_percentile() -> None:
    pool = {
        "sure": np.array([[0.0, 9.0]]),
        "open": np.array([[0.0, 0.1]]),
        "wild": np.array([[0.0, 4.0], [4.0, 0.0]]),
        "calm": np.array([[0.0, 1.0], [0.0, 1.1]]),
        "mild": np.array([[0.0, 1.0], [0.0, 2.0]]),
    }
    picks = rank(list(pool), list(pool.values()), "diversity", seed=0, k_ref_m=2)
    assert [pick.id for pick in picks] == ["wild", "open", "mild", "sure", "calm"]
    assert [pick.score for pick in picks] == pytest.approx([5 / 6, 3 / 4, 1 / 2, 1 / 4, 1 / 6])
    assert picks[1].diversity == 0
    # Entropy alone has one unit for all: no percentiles there.
    by_entropy = rank(list(pool), list(pool.values()), "entropy", seed=0, k_ref_m=2)
    assert all(pick.score == pick.entropy for pick in by_entropy)


def test_a_nominal_k_of_one_still_ranks_by_diversity() -> None:
    pool = [np.repeat(scale * np.array([[0.0, 2.0], [0.0, 3.0]]), 4, axis=0) for scale in (0.1, 1.0)]
    pool = [array + np.arange(8)[:, None] * np.array([0, 0.01]) for array in pool]
    assert [pick.id for pick in rank(["a", "b"], pool, "diversity", seed=0, k_ref_m=1)] == ["b", "a"]


@pytest.mark.parametrize(
    ("names", "pool", "strategy", "complaint"),
    [
        ([], [], "entropy", "pool is empty"),
        (["a"], [np.zeros((2, 2))], "marge", "'marge'; known are auto, random"),
        (["a", "b"], [np.zeros((2, 2))], "entropy", "2 ids came with 1"),
        (["a", "a"], [np.zeros((2, 2))] * 2, "entropy", "repeat"),
        (["a", "b"], [np.zeros((2, 2)), np.zeros((2, 3))], "entropy", r"candidate b: logits are \(2, 3\)"),
        (["a", "b"], [np.zeros((2, 2)), np.zeros(2)], "entropy", "candidate b"),
        (["a", "b"], [np.zeros((2, 2)), np.full((2, 2), np.nan)], "random", "candidate b: a logit is not finite"),
    ],
)
def test_what_cannot_be_ranked(
    names: list[str], pool: list[NDArray[np.float64]], strategy: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        rank(names, pool, strategy, seed=0, k_ref_m=8)
