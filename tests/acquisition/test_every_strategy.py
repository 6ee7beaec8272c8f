import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import STRATEGIES, Pool, select, strategy
from overread_learn.acquisition import aift as aift_module
from overread_learn.acquisition import pool as pool_module


def scored(classes: int = 2, seed: int = 0, count: int = 60, patches: tuple[int, ...] = (8,)) -> Pool:
    """A pool with embeddings, some labelled ones, and an answer of every class."""
    rng = np.random.default_rng(seed)
    return Pool.of(
        [f"c{index:03}" for index in range(count)],
        [rng.normal(size=(patches[index % len(patches)], classes)).astype(np.float32) * 2 for index in range(count)],
        embeddings=rng.normal(size=(count, 6)).astype(np.float16),
        labelled=rng.normal(size=(5, 6)).astype(np.float16),
        counts=dict.fromkeys(range(classes), 2),
    )


def turned(pool: Pool, seed: int = 9) -> Pool:
    """The same pool in another order, its labelled ones too."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    assert pool.embeddings is not None
    return Pool.of(
        [pool.ids[index] for index in order],
        [pool.of_candidate(index) for index in order],
        embeddings=pool.embeddings[order],
        labelled=None if pool.labelled is None else rng.permutation(pool.labelled),
        counts=dict(reversed(pool.counts.items())),
    )


ALL = [*STRATEGIES, "sum@.25^2", "patch-jsd~3", "typiclust:diversity@.25~2", "random:sum+badge3"]


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize(("classes", "patches"), [(2, (8,)), (3, (8, 3, 12)), (2, (1, 2, 4))])
@pytest.mark.parametrize("name", ALL)
def test_equal_pools_in_another_order_give_equal_picks(
    name: str, classes: int, patches: tuple[int, ...], *, warm: bool
) -> None:
    pool = scored(classes, patches=patches)
    if not warm:
        pool = replace(pool, labelled=None, counts={0: 3})
    picks = select(pool, name, 12, seed=3, k_ref_m=8)
    assert select(turned(pool), name, 12, seed=3, k_ref_m=8) == picks
    assert select(pool, name, 12, seed=3, k_ref_m=8) == picks
    assert len({pick.id for pick in picks}) == 12
    assert [pick.rank for pick in picks] == list(range(12))


@pytest.mark.parametrize("name", ALL)
def test_a_budget_larger_than_the_pool_takes_all(name: str) -> None:
    pool = scored(count=9)
    picks = select(pool, name, 50, seed=0, k_ref_m=8)
    assert sorted(pick.id for pick in picks) == list(pool.ids)
    assert all(pick.propensity in (None, 1) for pick in picks)


@pytest.mark.parametrize("name", ALL)
def test_the_seed_matters_where_something_is_left_to_chance(name: str) -> None:
    picks = {tuple(pick.id for pick in select(scored(), name, 12, seed=seed, k_ref_m=8)) for seed in range(4)}
    # Enough distinct starts for k-means to end differently.
    assert (len(picks) > 1) == (strategy(name).draw not in {"best", "coreset"})


@pytest.mark.parametrize("name", [name for name in ALL if strategy(name).cold])
@pytest.mark.parametrize("counts", [{}, {0: 9}, {1: 4, 2: 1}, {0: 4, 1: 0, 2: 3}, {0: 4, 1: 3, 5: 3}])
def test_a_cold_start_lasts_until_every_class_has_a_label(name: str, counts: dict[int, int]) -> None:
    pool, cold = scored(3), strategy(name).cold
    begun = select(replace(pool, counts=counts), name, 12, seed=0, k_ref_m=8)
    assert begun == select(pool, cold, 12, seed=0, k_ref_m=8)
    later = select(replace(pool, counts={0: 1, 1: 1, 2: 1}), name, 12, seed=0, k_ref_m=8)
    assert later == select(pool, replace(strategy(name), cold=""), 12, seed=0, k_ref_m=8)
    assert later != begun


def test_a_strategy_without_a_cold_start_ranks_from_the_first_label() -> None:
    pool = scored()
    assert select(replace(pool, counts={}), "sum@.25", 12, seed=0, k_ref_m=8) == select(
        pool, "sum@.25", 12, seed=0, k_ref_m=8
    )


def test_stratified_takes_the_predicted_classes_in_turn() -> None:
    # Class 0 is predicted 30 times, 1 nine times, 2 never, 3 once.
    predicted = np.repeat([0, 1, 3], [30, 9, 1])
    pool = Pool.of(
        [f"c{index:02}" for index in range(40)], 5 * np.eye(4)[predicted][:, None], counts=dict.fromkeys(range(4), 1)
    )
    picks = select(pool, "stratified", 12, seed=0, k_ref_m=1)
    assert [pick.dominant for pick in picks] == [0, 1, 3, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    shares = {0: 6 / 30, 1: 5 / 9, 3: 1}
    assert [pick.propensity for pick in picks] == [pytest.approx(shares[pick.dominant]) for pick in picks]
    # Within a class it is by lot.
    first = {select(pool, "stratified", 12, seed=seed, k_ref_m=1)[0].id for seed in range(20)}
    assert len(first) > 5


def test_random_states_its_propensity() -> None:
    assert {pick.propensity for pick in select(scored(), "random", 12, seed=0, k_ref_m=8)} == {12 / 60}
    assert {pick.propensity for pick in select(scored(), "sum", 12, seed=0, k_ref_m=8)} == {None}


def test_acft_draws_within_its_extension() -> None:
    pool = scored()
    top = [pick.id for pick in select(pool, "diversity@.25", 30, seed=0, k_ref_m=8)]
    for seed in range(10):
        picks = select(pool, "diversity@.25~5", 6, seed=seed, k_ref_m=8)
        assert {pick.id for pick in picks} <= set(top)
        assert all(pick.propensity is not None and 0 < pick.propensity <= 1 for pick in picks)
    assert [pick.id for pick in select(pool, "diversity@.25~1", 6, seed=0, k_ref_m=8)] == top[:6]


def test_a_prefilter_leaves_the_best_to_kmeans() -> None:
    pool = scored()
    top = {pick.id for pick in select(pool, "margin", 15, seed=0, k_ref_m=8)}
    for seed in range(10):
        assert {pick.id for pick in select(pool, "margin+badge2.5", 6, seed=seed, k_ref_m=8)} < top
    # Down to the budget itself nothing is left to choose; it never yields fewer.
    for narrow in ("margin+badge1", "margin+badge.5", "margin+badge0"):
        picks = select(pool, narrow, 15, seed=0, k_ref_m=8)
        assert {pick.id for pick in picks} == top


@pytest.mark.parametrize("name", ["badge", "coreset", "typiclust", "margin+badge", "random:entropy@.25+badge2"])
def test_missing_embeddings_are_said(name: str) -> None:
    pool = replace(scored(), embeddings=None)
    with pytest.raises(ValueError, match=f"{re.escape(name)} chooses by embeddings, and this pool has none"):
        select(pool, name, 3, seed=0, k_ref_m=8)
    # A cold start that looks at none can do without.
    if strategy(name).cold == "random":
        assert len(select(replace(pool, counts={}), name, 3, seed=0, k_ref_m=8)) == 3


@pytest.mark.parametrize("name", ["badge", "coreset", "typiclust"])
def test_an_embedding_that_is_not_finite_is_named(name: str) -> None:
    pool = turned(scored())
    assert pool.embeddings is not None
    pool.embeddings[list(pool.ids).index("c017"), 2] = np.inf
    with pytest.raises(ValueError, match="candidate c017: an embedding is not finite"):
        select(pool, name, 3, seed=0, k_ref_m=8)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"embeddings": np.zeros((59, 6))}, "60 ids came with 59 embeddings"),
        ({"embeddings": np.zeros(60)}, "embeddings must be"),
        ({"labelled": np.zeros((5, 7))}, "embeddings have 6 features, those of the labelled 7"),
        ({"labelled": np.zeros(5)}, "labelled must be"),
        ({"offsets": np.arange(60)}, "60 ids need 61 offsets from 0 to 480"),
        ({"offsets": np.empty(0, np.int64)}, "60 ids need 61 offsets"),
        ({"offsets": np.array([*range(0, 480, 8), 479])}, "60 ids need 61 offsets"),
        ({"offsets": np.array([0, 0, *range(16, 481, 8)])}, "candidate c000 has no patch"),
        ({"logits": np.zeros((480, 1))}, "classes >= 2"),
    ],
)
def test_a_pool_whose_parts_do_not_fit(change: dict[str, NDArray[np.float64]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(scored(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("budget", "seed", "complaint"), [(0, 0, "a budget is at least 1"), (1, -1, "a seed is")])
def test_what_cannot_be_spent(budget: int, seed: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        select(scored(), "random", budget, seed=seed, k_ref_m=8)


@pytest.mark.parametrize("patches", [(8,), (3, 8, 5)])
def test_chunks_make_no_difference(patches: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    pool = scored(3, patches=patches)
    whole = {name: select(pool, name, 12, seed=0, k_ref_m=8) for name in ALL}
    # Two or three candidates at a time, in the pool; one by one in the arithmetic.
    monkeypatch.setattr(pool_module, "CHUNK", 50)
    monkeypatch.setattr(aift_module, "CHUNK", 1)
    for name, picks in whole.items():
        assert select(pool, name, 12, seed=0, k_ref_m=8) == picks


def test_ids_sort_as_python_sorts_them() -> None:
    zeros = np.zeros((3, 2, 2))
    names = ["b", "a\0", "a"]
    assert [pick.id for pick in select(Pool.of(names, zeros), "sum", 3, seed=0, k_ref_m=2)] == sorted(names)
