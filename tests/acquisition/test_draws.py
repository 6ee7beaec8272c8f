import numpy as np
import pytest

from overread_learn.acquisition.draws import best, levels, lots, percentile, power, randomised, reach

SEEDS = 4000


def test_best_takes_the_largest_and_of_ties_the_earlier() -> None:
    assert best(np.array([1.0, 3.0, 2.0, 3.0 + 1e-13, 3.0 - 1e-13]), 4) == ([1, 3, 4, 2], None)
    assert best(np.array([1.0, 2.0]), 5).indices == [1, 0]


def test_levels_count_what_is_within_twelve_digits_as_one() -> None:
    assert levels(np.array([2.0, 1.0, 1.0 + 1e-13, 1.0 + 1e-11])).tolist() == [2, 0, 0, 1]
    # Twelve digits, not twelve decimals; two equal scores on either side of what rounding would part.
    assert levels(np.array([1e6, 1e6 + 1e-7, 1e6 + 1e-5])).tolist() == [0, 0, 1]
    assert levels(np.array([0.5e-12 - 1e-16, 0.5e-12 + 1e-16])).tolist() == [0, 0]


def test_percentiles_are_mid_ranks() -> None:
    assert percentile(np.array([30.0, 10.0, 20.0, 20.0])).tolist() == [3.5 / 4, 0.5 / 4, 2 / 4, 2 / 4]
    assert percentile(np.empty(0)).tolist() == []


@pytest.mark.parametrize(
    ("omega", "count", "found"),
    [(5, 3, 15), (2.3, 100, 230), (1.5, 3, 5), (1, 7, 7), (0.2, 7, 7), (0, 7, 7), (1.05, 10, 11)],
)
def test_reach_of_the_extension(omega: float, count: int, found: int) -> None:
    assert reach(omega, count) == found


@pytest.mark.parametrize("omega", [0, 0.5, 1])
def test_without_an_extension_nothing_is_left_to_chance(omega: float) -> None:
    scores = np.random.default_rng(0).random(50)
    assert randomised(scores, 8, omega, np.random.default_rng(1)) == best(scores, 8)
    # Nor where the pool is not larger than the budget.
    assert randomised(scores, 50, 5, np.random.default_rng(1)) == best(scores, 50)


def test_acft_draws_by_its_weights() -> None:
    # One of four: A' is 1, 1/2, 1/4 and 0 of the extension, whatever lies below it.
    scores = np.array([0.1, 9.0, 5.0, 3.0, 1.0, 0.2])
    first = [randomised(scores, 1, 4, np.random.default_rng(seed)).indices[0] for seed in range(SEEDS)]
    often = np.bincount(first, minlength=6) / SEEDS
    assert often[[0, 5]].tolist() == [0, 0]
    # Standard error: at most .008.
    assert often[[1, 2, 3, 4]] == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0], abs=0.03)


def inclusion(drawn: list[tuple[list[int], list[float] | None]], size: int) -> tuple[list[float], list[float]]:
    """Return how often each was drawn, and the mean of its weight 1/propensity where it was: 1 if those are right."""
    often, weighed = np.zeros(size), np.zeros(size)
    for indices, propensities in drawn:
        assert propensities is not None
        often[indices] += 1 / len(drawn)
        weighed[indices] += 1 / np.array(propensities) / len(drawn)
    return often.tolist(), weighed.tolist()


def test_acft_states_the_propensities_with_which_it_draws() -> None:
    scores = np.array([9.0, 8.0, 6.0, 5.0, 3.0, 2.0, 1.5, 1.0, 0.5])
    drawn = [randomised(scores, 3, 3, np.random.default_rng(seed)) for seed in range(SEEDS)]
    assert all(len(set(indices)) == 3 for indices, _ in drawn)
    often, weighed = inclusion([tuple(one) for one in drawn], 9)
    assert often == sorted(often, reverse=True)
    # The last has a weight of nothing: it is never seen here, and so nothing can be said for it.
    assert weighed[:8] == pytest.approx([1] * 8, abs=0.12)


def test_acft_with_equal_scores_draws_alike() -> None:
    # Equal by the first twelve digits: the thirteenth neither weighs nor makes a weight negative.
    scores = 1 + np.random.default_rng(0).random(12) * 1e-14
    drawn = [randomised(scores, 4, 3, np.random.default_rng(seed)) for seed in range(SEEDS)]
    often, _ = inclusion([tuple(one) for one in drawn], 12)
    assert often == pytest.approx([1 / 3] * 12, abs=0.03)


def test_ties_at_the_end_of_the_extension_have_no_negative_weight() -> None:
    scores = np.array([2.0, 1.0 - 2e-13, 1.0, 1.0 - 1e-13, 1.0])
    drawn = randomised(scores, 2, 2, np.random.default_rng(0))
    assert drawn.propensities is not None
    assert np.isfinite(drawn.propensities).all()
    assert drawn.indices[0] == 0


@pytest.mark.parametrize(("beta", "expected"), [(0, [1 / 3] * 3), (1, [0.6, 0.3, 0.1]), (2, [36 / 46, 9 / 46, 1 / 46])])
def test_power_draws_by_powers_of_the_score(beta: float, expected: list[float]) -> None:
    scores = np.array([0.6, 0.3, 0.1])
    first = [power(scores, 1, beta, np.random.default_rng(seed)).indices[0] for seed in range(SEEDS)]
    assert np.bincount(first, minlength=3) / SEEDS == pytest.approx(expected, abs=0.03)


def test_power_states_its_propensities_and_reaches_scores_of_zero_last() -> None:
    scores = np.array([0.9, 0.5, 0.3, 0.2, 0.1])
    drawn = [power(scores, 2, 1, np.random.default_rng(seed)) for seed in range(SEEDS)]
    _, weighed = inclusion([tuple(one) for one in drawn], 5)
    assert weighed == pytest.approx([1] * 5, abs=0.12)
    assert set(power(np.array([0.0, 0.5, 0.0, 0.5]), 2, 1, np.random.default_rng(0)).indices) == {1, 3}
    assert power(scores, 5, 1, np.random.default_rng(0)) == best(scores, 5)


@pytest.mark.parametrize("beta", [60, 1e30])
def test_a_large_power_is_certain_of_the_best_and_overflows_nowhere(beta: float) -> None:
    drawn = power(np.array([0.9, 0.0, 0.5, 0.0]), 2, beta, np.random.default_rng(0))
    assert drawn == ([0, 2], [1, 1])


def test_lots_are_a_candidates_own() -> None:
    names = [f"c{index}" for index in range(4000)]
    drawn = lots(7, names)
    assert lots(7, names[::-1]).tolist() == drawn[::-1].tolist()
    assert lots(8, names)[0] != drawn[0]
    # Uniform: each tenth of [0, 1) holds 400, give or take 19.
    assert np.histogram(drawn, 10, (0, 1))[0] == pytest.approx([400] * 10, abs=80)
    assert 0 <= drawn.min() < drawn.max() < 1
