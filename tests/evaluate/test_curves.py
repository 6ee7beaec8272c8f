import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.evaluate import OneClass, Summary, alc, labels_to_reach, macro_auc, summarise
from overread_learn.evaluate.curves import Axis, Runs, seed_weights

BUDGETS = [50, 100, 200, 400]
Steps = list[tuple[int, NDArray[np.floating]]]


def test_area() -> None:
    assert alc([50, 100, 400], [0.7, 0.7, 0.7]) == pytest.approx(0.7)
    assert alc([0, 1, 3], [0, 1, 1]) == pytest.approx((0.5 + 2) / 3)
    assert alc([1, 2, 8], [0, 1, 1], "log2") == pytest.approx((0.5 + 2) / 3)
    assert alc([100], [0.8]) == 0.8
    # The log axis gives early labels the same weight as late ones.
    early = [0.6, 0.9, 0.9]
    assert alc([50, 100, 400], early, "log2") < alc([50, 100, 400], early)


def test_first_crossing() -> None:
    assert labels_to_reach([50, 100, 200], [0.6, 0.8, 0.9], 0.85) == pytest.approx(150)
    assert labels_to_reach([50, 100, 200], [0.6, 0.8, 0.9], 0.8) == 100
    assert labels_to_reach([50, 100, 200], [0.6, 0.8, 0.9], 0.5) == 50
    assert labels_to_reach([50, 100, 200], [0.6, 0.8, 0.9], 0.91) is None
    # It may fall again: the first time counts.
    assert labels_to_reach([50, 100, 200, 400], [0.6, 0.8, 0.7, 0.9], 0.75) == pytest.approx(87.5)


def test_curves_that_are_none() -> None:
    for labels, aucs in (([], []), ([50, 50], [0.5, 0.6]), ([50, 100], [0.5]), ([100, 50], [0.5, 0.6])):
        with pytest.raises(ValueError, match="rising labels"):
            alc(labels, aucs)
    with pytest.raises(ValueError, match="log2 axis needs labels above 0"):
        alc([0, 50], [0.5, 0.6], "log2")


class Trial:
    """A test set, and scores that separate its classes as well as asked."""

    def __init__(self, classes: int = 2, patients: int = 40, each: int = 8) -> None:
        rng = np.random.default_rng(0)
        self.patients = np.repeat(np.arange(patients), each)
        self.truth = rng.integers(0, classes, patients * each)
        self.classes = classes

    def run(self, seed: int, strengths: list[float]) -> Steps:
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(len(self.truth), self.classes))
        return [
            (labels, noise + strength * np.eye(self.classes)[self.truth])
            for labels, strength in zip(BUDGETS, strengths, strict=True)
        ]

    def runs(self, strengths: dict[str, list[float]], seeds: int = 3) -> Runs:
        # Strategies share a seed's noise, as they share a seed's start.
        return {name: {seed: self.run(seed, list(of)) for seed in range(seeds)} for name, of in strengths.items()}


STRENGTHS = {"random": [0.3, 0.6, 0.9, 1.2], "better": [0.3, 1.1, 1.5, 1.6], "worse": [0.1, 0.2, 0.3, 0.4]}


@pytest.mark.parametrize("classes", [2, 3])
def test_points_are_those_of_the_mean_curve(classes: int) -> None:
    trial = Trial(classes)
    runs = trial.runs(STRENGTHS)
    found = summarise(runs, trial.patients, trial.truth, replicates=50)
    curves = {
        name: np.mean([[macro_auc(trial.truth, scores) for _, scores in steps] for steps in of.values()], axis=0)
        for name, of in runs.items()
    }
    target = curves["random"][-1]
    for name, summary in found.items():
        assert summary.alc == pytest.approx(alc(BUDGETS, curves[name]))
        assert summary.alc_minus_random == pytest.approx(alc(BUDGETS, curves[name]) - alc(BUDGETS, curves["random"]))
        # 50, 100, 200, 400: each step is a doubling, so the three trapezoids count alike.
        halves, of_random = (np.mean([one[:-1], one[1:]]) for one in (curves[name], curves["random"]))
        assert summary.alc_log2 == pytest.approx(halves)
        assert summary.alc_log2_minus_random == pytest.approx(halves - of_random)
    assert found["random"].labels_to_reach == pytest.approx(400)
    assert found["random"].ratio_to_random == 1
    assert found["better"].labels_to_reach == pytest.approx(labels_to_reach(BUDGETS, curves["better"], target))
    assert found["better"].ratio_to_random == pytest.approx(found["better"].labels_to_reach / 400)  # type: ignore[operator]
    assert (found["worse"].labels_to_reach, found["worse"].ratio_to_random) == (None, None)


def test_intervals_hold_the_points_and_tell_strategies_apart() -> None:
    trial = Trial()
    found = summarise(trial.runs(STRENGTHS), trial.patients, trial.truth, replicates=400)
    for summary in found.values():
        assert summary.alc_interval[0] < summary.alc < summary.alc_interval[1]
        assert summary.alc_log2_interval[0] < summary.alc_log2 < summary.alc_log2_interval[1]
    lower, upper = found["better"].ratio_interval
    assert lower is not None
    assert upper is not None
    assert found["better"].ratio_to_random is not None
    assert lower < found["better"].ratio_to_random < upper < 1
    assert found["worse"].ratio_interval == (None, None)
    assert found["random"].ratio_interval == (1, 1)
    assert found["random"].alc_minus_random_interval == (0, 0)
    assert found["better"].alc_minus_random_interval[0] > 0 > found["worse"].alc_minus_random_interval[1]
    # Paired: what patients and seeds share falls out of the difference.
    gain, own = found["better"].alc_minus_random_interval, found["better"].alc_interval
    assert gain[1] - gain[0] < 0.7 * (own[1] - own[0])


def test_a_target_that_is_reached_in_some_replicates_has_an_open_end() -> None:
    trial = Trial(patients=15)
    runs = trial.runs({"random": [0.3, 0.6, 0.9, 1.2], "near": [0.3, 0.6, 0.9, 1.2]})
    shifted = {seed: trial.run(seed + 100, [0.3, 0.6, 0.9, 1.25]) for seed in range(3)}
    lower, upper = summarise({**runs, "near": shifted}, trial.patients, trial.truth, replicates=300)[
        "near"
    ].ratio_interval
    assert lower is not None
    assert lower < 1
    assert upper is None


def brute(runs: Runs, trial: Trial, replicates: int, axis: Axis) -> dict[str, list[float]]:
    """Draw patients, and one seed fewer than there are, anew for each replicate, and repeat the drawn candidates."""
    rng = np.random.default_rng(11)
    members = [np.flatnonzero(trial.patients == name) for name in np.unique(trial.patients)]
    areas: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(replicates):
        drawn = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        seeds = rng.integers(0, 3, 2)
        for name, of in runs.items():
            curves = [[macro_auc(trial.truth[drawn], scores[drawn]) for _, scores in of[seed]] for seed in seeds]
            areas[name].append(alc(BUDGETS, np.mean(curves, axis=0), axis))
    return areas


@pytest.mark.parametrize(("axis", "key"), [("linear", "alc"), ("log2", "alc_log2")])
def test_intervals_are_those_of_the_plain_bootstrap(axis: Axis, key: str) -> None:
    trial = Trial(patients=20, each=4)
    runs = trial.runs({name: STRENGTHS[name] for name in ("random", "better")})
    found = summarise(runs, trial.patients, trial.truth, replicates=2000)
    better = found["better"]._asdict()
    areas = brute(runs, trial, 400, axis)
    width = np.subtract(*np.quantile(areas["better"], [0.975, 0.025]))
    gains = np.subtract(areas["better"], areas["random"])
    assert better[f"{key}_interval"] == pytest.approx(np.quantile(areas["better"], [0.025, 0.975]), abs=0.15 * width)
    assert better[f"{key}_minus_random_interval"] == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=0.15 * width)


def test_seeded_whatever_the_order_of_runs() -> None:
    trial = Trial(patients=10)
    runs = trial.runs(STRENGTHS)
    turned: Runs = {name: dict(reversed(runs[name].items())) for name in reversed(runs)}
    one = summarise(runs, trial.patients, trial.truth, replicates=60, seed=4)
    two = summarise(turned, trial.patients, trial.truth, replicates=60, seed=4)
    assert one == two
    assert one != summarise(runs, trial.patients, trial.truth, replicates=60, seed=5)


def test_strategies_may_have_other_seeds_and_one_is_enough() -> None:
    trial = Trial(patients=10)
    runs = trial.runs(STRENGTHS)
    few: Runs = {"random": runs["random"], "better": {7: runs["better"][1]}}
    found = summarise(few, trial.patients, trial.truth, replicates=60)
    assert all(isinstance(summary, Summary) for summary in found.values())


def test_a_strategy_is_held_against_the_references_runs_of_its_own_seeds() -> None:
    """Its two seeds were lucky ones: that is no merit of the strategy, which is the reference itself."""
    trial = Trial(patients=10)
    runs = {"random": {seed: trial.run(seed, [0.3 + 0.4 * seed] * 4) for seed in range(4)}}
    lucky = {seed: runs["random"][seed] for seed in (2, 3)}
    found = summarise({**runs, "same": lucky}, trial.patients, trial.truth, replicates=60)["same"]
    assert found.alc_minus_random == 0
    assert found.alc_minus_random_interval is None, "all draws say 0"
    assert found.ratio_to_random == 1


def test_what_is_refused() -> None:
    trial = Trial(patients=4)
    runs = trial.runs({"random": STRENGTHS["random"]})
    with pytest.raises(ValueError, match="reference 'random' is not among better"):
        summarise({"better": runs["random"]}, trial.patients, trial.truth)
    with pytest.raises(ValueError, match=r"better, seed 0: the labels \[50, 100, 200\] are not \[50, 100, 200, 400\]"):
        summarise({**runs, "better": {0: runs["random"][0][:3]}}, trial.patients, trial.truth)
    with pytest.raises(ValueError, match="better has no run"):
        summarise({**runs, "better": {}}, trial.patients, trial.truth)
    with pytest.raises(ValueError, match="not all above 0"):
        summarise({"random": {0: [(0, runs["random"][0][0][1])]}}, trial.patients, trial.truth)
    with pytest.raises(OneClass):
        summarise(runs, trial.patients, np.zeros_like(trial.truth))


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_a_mean_over_seeds_varies_as_the_seeds_themselves_say(seeds: int) -> None:
    """By s^2 / n; drawing n of n would make it (n - 1) / n of that: a half of it, for two seeds."""
    values = np.random.default_rng(seeds).normal(size=seeds)
    observed, *drawn = seed_weights(range(seeds), 20_000, 0) @ values
    assert observed == pytest.approx(values.mean())
    assert np.mean(drawn) == pytest.approx(values.mean(), abs=0.03)
    assert np.var(drawn) == pytest.approx(values.var(ddof=1) / seeds, rel=0.05)


def test_one_seed_says_nothing_of_others() -> None:
    assert (seed_weights([7], 5, 0) == 1).all()


@pytest.mark.parametrize(("seeds", "held"), [(3, 0.75), (5, 0.86), (20, 0.93)])
def test_how_much_the_intervals_of_few_seeds_hold(seeds: int, held: float) -> None:
    # What the module says of them, for results.md and depth.md quote it.
    truths = np.random.default_rng(seeds).normal(size=(seeds, 4000))
    lower, upper = np.quantile(seed_weights(range(seeds), 1000, 0)[1:] @ truths, [0.025, 0.975], axis=0)
    assert ((lower <= 0) & (upper >= 0)).mean() == pytest.approx(held, abs=0.03)


def test_one_test_patient_of_a_class_tells_no_interval() -> None:
    trial = Trial()
    alone = np.where(trial.truth == 1, "p", trial.patients)
    runs = trial.runs(STRENGTHS)
    for summary in summarise(runs, alone, trial.truth, replicates=50).values():
        intervals = {name: value for name, value in summary._asdict().items() if name.endswith("_interval")}
        assert len(intervals) == 5
        assert not any(intervals.values())
    one = summarise({"random": {0: runs["random"][0]}}, alone, trial.truth, replicates=50)["random"]
    assert one.alc == pytest.approx(alc(BUDGETS, [macro_auc(trial.truth, scores) for _, scores in runs["random"][0]]))


def test_draws_that_all_say_the_same_are_no_interval() -> None:
    trial = Trial()
    right = {seed: [(labels, trial.truth.astype(float)) for labels in BUDGETS] for seed in range(2)}
    found = summarise({**trial.runs({"random": STRENGTHS["random"]}), "right": right}, trial.patients, trial.truth)
    assert (found["right"].alc, found["right"].alc_interval) == (1, None)
    assert found["right"].alc_minus_random_interval is not None
    assert found["right"].ratio_interval is None, "the first labels reach it, whoever is drawn"
