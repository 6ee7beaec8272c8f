import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, confusion_matrix

from overread_learn.evaluate import (
    TooFewPatients,
    average_precision,
    clustered_auc,
    cpm,
    cpm_interval,
    ece,
    froc_curve,
    macro_auc,
    partial_auc,
)
from overread_learn.evaluate.verdict import LookedAt, verdict

Cases = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.str_]]


def cases(classes: int, patients: int = 20, each: int = 8) -> Cases:
    rng = np.random.default_rng(classes)
    owner = np.repeat(np.arange(patients), each)
    truth = rng.integers(0, classes, len(owner))
    scores = rng.normal(size=(len(owner), classes)) + np.eye(classes)[truth] + rng.normal(size=(patients, 1))[owner]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return truth, np.round(p, 9), np.char.add("p", owner.astype(str))


def looked(owner: NDArray[np.str_], extra: int = 0, missed: list[str] | int = 0) -> LookedAt:
    images = [*np.unique(owner).tolist(), *(f"other {number}" for number in range(extra))]
    return LookedAt(images, missed, [str(number) for number in range(len(owner))])


def test_two_classes() -> None:
    truth, p, owner = cases(2)
    facts = verdict(truth, p, owner, looked(owner), ("no", "yes"), 0.5)
    known = clustered_auc(truth, p[:, 1], owner)
    assert facts["auc_interval"] == (known.lower, known.upper)
    assert facts["auc"] == pytest.approx(known.value)
    assert (facts["candidates"], facts["patients"], facts["images"]) == (160, 20, 20)
    assert facts["positives"] == facts["n_pos"] == facts["lesions"] == truth.sum()
    for name in ("average_precision", "partial_auc_at_10_percent", "cpm", "brier"):
        lower, upper = facts[f"{name}_interval"]
        assert lower < facts[name] < upper
    assert facts["brier"] == pytest.approx(brier_score_loss(truth, p[:, 1]))


def plain(name: str, cases: Cases, drawn: NDArray[np.intp], images: int) -> float:
    truth, p, _ = cases
    marks, scores = truth[drawn], p[drawn, 1]
    if name == "average_precision":
        return average_precision(marks, scores)
    if name == "cpm":
        return cpm(froc_curve(marks, scores, images=images))
    return partial_auc(marks, scores, 0.1, standardised=True)


@pytest.mark.parametrize("name", ["average_precision", "partial_auc_at_10_percent", "cpm"])
def test_intervals_are_those_of_patients_drawn_whole(name: str) -> None:
    """Every patient has an image; five more have one without a candidate, and are drawn too."""
    made = cases(2)
    facts = verdict(made[0], made[1], made[2], looked(made[2], extra=5), ("no", "yes"), 0.5)
    rng = np.random.default_rng(9)
    values = []
    for _ in range(1000):
        whom = rng.integers(0, 25 if name == "cpm" else 20, 25 if name == "cpm" else 20)
        drawn = np.concatenate([8 * one + np.arange(8) for one in whom if one < 20])
        values.append(plain(name, made, drawn, len(whom)))
    expected = np.quantile(values, [0.025, 0.975])
    assert facts[f"{name}_interval"] == pytest.approx(expected, abs=0.15 * np.ptp(expected))


# At the operating point


@pytest.mark.parametrize("point", [0.3, 0.5, 0.8])
def test_candidates_are_called_positive_from_the_operating_point_on(point: float) -> None:
    truth, p, owner = cases(2)
    p[np.flatnonzero(truth == 1)[0], 1] = point  # from it on: itself too
    facts = verdict(truth, p, owner, looked(owner), ("no", "yes"), point)
    (rejected, alarms), (missed, hits) = confusion_matrix(truth, p[:, 1] >= point)
    assert (facts["operating_point"], facts["called"]) == (point, hits + alarms)
    shares = [facts["sensitivity"], facts["specificity"], facts["positive_predictive_value"]]
    assert shares == pytest.approx([hits / (hits + missed), rejected / (rejected + alarms), hits / (hits + alarms)])
    roc = facts["curves"]["roc"]
    places = [at for at, threshold in enumerate(roc["thresholds"]) if threshold is not None and threshold >= point]
    assert (roc["fpr"][places[-1]], roc["tpr"][places[-1]]) == pytest.approx((1 - shares[1], shares[0]))


@pytest.mark.parametrize("point", [0.3, 0.5])
def test_their_intervals_are_those_of_patients_drawn_whole(point: float) -> None:
    truth, p, owner = cases(2)
    facts = verdict(truth, p, owner, looked(owner), ("no", "yes"), point)
    called = (p[:, 1] >= point).reshape(20, 8)
    positive = (truth == 1).reshape(20, 8)
    drawn = np.random.default_rng(9).integers(0, 20, (1000, 20))
    for name, those, right in (
        ("sensitivity", positive, called),
        ("specificity", ~positive, ~called),
        ("positive_predictive_value", called, positive),
    ):
        values = (those & right).sum(1)[drawn].sum(1) / those.sum(1)[drawn].sum(1)
        expected = np.quantile(values, [0.025, 0.975])
        assert facts[f"{name}_interval"] == pytest.approx(expected, abs=0.15 * np.ptp(expected))


@pytest.mark.parametrize(
    ("called", "value", "interval"),
    [
        ({}, None, None),  # nothing to be right about
        ({0: "a hit", 4: "a hit"}, 1, None),
        ({1: "in vain"}, 0, None),
        ({0: "a hit", 1: "in vain"}, 1 / 2, None),  # of one patient alone
        ({0: "a hit", 1: "in vain", 4: "a hit"}, 2 / 3, (1 / 2, 1)),  # 1 draw of 27 has neither, and is drawn again
    ],
)
def test_a_predictive_value_has_an_interval_where_draws_of_patients_can_tell(
    called: dict[int, str], value: float | None, interval: tuple[float, float] | None
) -> None:
    truth, owner, yes = np.tile([1, 0, 0, 1], 3), np.repeat(["a", "b", "c"], 4), np.full(12, 0.25)
    yes[list(called)] = 0.75
    facts = verdict(truth, np.stack([1 - yes, yes], axis=1), owner, looked(owner), ("no", "yes"), 0.75)
    assert facts["called"] == len(called)
    assert facts["positive_predictive_value"] == value
    assert facts["positive_predictive_value_interval"] == interval
    hits = sum(what == "a hit" for what in called.values())
    assert facts["sensitivity"] == hits / 6
    assert (facts["sensitivity_interval"] is None) is not bool(hits)
    assert facts["specificity"] == 1 - (len(called) - hits) / 6
    assert (facts["specificity_interval"] is None) is (hits == len(called))
    json.dumps(facts, allow_nan=False)


def test_of_three_classes_whatever_is_not_the_first_is_called() -> None:
    truth, p, owner = cases(3)
    facts = verdict(truth, p, owner, looked(owner), ("none", "small", "large"), 0.6)
    (rejected, alarms), (missed, hits) = confusion_matrix(truth > 0, 1 - p[:, 0] >= 0.6)
    shares = [facts["sensitivity"], facts["specificity"], facts["positive_predictive_value"]]
    assert shares == pytest.approx([hits / (hits + missed), rejected / (rejected + alarms), hits / (hits + alarms)])
    assert not any("sensitivity" in one for one in facts["classes"])
    truth[truth == 0] = 1
    facts = verdict(truth, p, owner, looked(owner), ("none", "small", "large"), 0.6)
    assert facts["specificity"] is facts["specificity_interval"] is None


def test_the_points_of_the_curves_are_the_figures() -> None:
    truth, p, owner = cases(2)
    facts = verdict(truth, p, owner, looked(owner, extra=3), ("no", "yes"), 0.5)
    curves = json.loads(json.dumps(facts, allow_nan=False))["curves"]
    assert curves.keys() == {"roc", "precision_recall", "froc", "reliability"}
    assert np.trapezoid(curves["roc"]["tpr"], curves["roc"]["fpr"]) == pytest.approx(facts["auc"])
    steps = np.diff(curves["precision_recall"]["recall"]) @ curves["precision_recall"]["precision"][1:]
    assert steps == pytest.approx(facts["average_precision"])
    rates = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
    found = np.interp(rates, curves["froc"]["false_alarms"], curves["froc"]["sensitivity"])
    assert found.mean() == pytest.approx(facts["cpm"])
    assert curves["froc"]["false_alarms"][-1] == pytest.approx((truth == 0).sum() / 23)
    assert curves["roc"]["thresholds"][0] is None
    gaps = sum(one["size"] * abs(one["predicted"] - one["observed"]) for one in curves["reliability"]) / len(truth)
    assert gaps == pytest.approx(facts["ece"]) == pytest.approx(ece(truth, p))


def test_three_classes_are_told_one_by_one() -> None:
    truth, p, owner = cases(3)
    facts = verdict(truth, p, owner, looked(owner), ("none", "small", "large"), 0.5)
    assert facts["auc"] == pytest.approx(macro_auc(truth, p))
    lower, upper = facts["auc_interval"]
    assert lower < facts["auc"] < upper
    assert (upper - lower) / (2 * 1.96 * facts["se"]) == pytest.approx(1, abs=0.1)
    assert [one["class"] for one in facts["classes"]] == ["none", "small", "large"]
    for label, one in enumerate(facts["classes"]):
        known = clustered_auc(truth == label, p[:, label], owner)
        assert (one["auc"], *one["auc_interval"]) == pytest.approx((known.value, known.lower, known.upper))
        assert one["average_precision"] == pytest.approx(average_precision(truth == label, p[:, label]))
        assert one["average_precision_interval"][0] < one["average_precision"] < one["average_precision_interval"][1]
        assert one["curves"].keys() == {"roc", "precision_recall"}
    assert np.mean([one["auc"] for one in facts["classes"]]) == pytest.approx(facts["auc"])
    # What is not of the first class is a lesion.
    assert facts["cpm"] == pytest.approx(cpm(froc_curve(truth > 0, 1 - p[:, 0], images=20)))


def test_a_class_of_nobody_is_named_and_one_of_a_single_patient_has_no_interval() -> None:
    truth, p, owner = cases(4)
    truth[(truth > 1) | ((truth == 1) & (owner != "p3"))] = 0
    facts = verdict(truth, p, owner, looked(owner), ("a", "b", "c", "d"), 0.5)
    assert [one["n_pos"] for one in facts["classes"]][2:] == [0, 0]
    assert facts["classes"][1]["auc"] is not None
    assert facts["classes"][1]["auc_interval"] is facts["classes"][1]["average_precision_interval"] is None
    assert facts["auc_interval"] is facts["cpm_interval"] is None
    assert facts["auc"] == pytest.approx(macro_auc(truth, p))


# What has no width


@pytest.mark.parametrize("right", [True, False])
def test_a_model_without_an_error_has_no_interval_of_no_width(right: bool) -> None:
    truth, p, owner = cases(2)
    yes = np.where((truth == 1) == right, 0.6, 0.1) + p[:, 1] / 9
    facts = verdict(truth, np.stack([1 - yes, yes], axis=1), owner, looked(owner), ("no", "yes"), 0.5)
    assert facts["auc"] == (1 if right else 0)
    assert facts["se"] is facts["auc_interval"] is None
    assert facts["partial_auc_at_10_percent_interval"] is None
    assert (facts["patients_pos"], facts["patients_neg"]) == (20, 20)
    assert facts["brier_interval"][0] < facts["brier"] < facts["brier_interval"][1]
    if right:
        assert facts["average_precision"] == facts["cpm"] == 1
        assert facts["average_precision_interval"] is facts["cpm_interval"] is None
    sure = (yes > 0.5).astype(float)
    facts = verdict(truth, np.stack([1 - sure, sure], axis=1), owner, looked(owner), ("no", "yes"), 0.5)
    assert facts["brier"] == (0 if right else 1)
    assert facts["brier_interval"] is None


def test_where_every_patient_is_like_every_other_there_is_no_interval() -> None:
    truth, owner = np.tile([1, 0, 0, 1], 5), np.repeat(["a", "b", "c", "d", "e"], 4)
    yes = np.tile([0.9, 0.1, 0.8, 0.2], 5)
    facts = verdict(truth, np.stack([1 - yes, yes], axis=1), owner, looked(owner), ("no", "yes"), 0.5)
    assert (facts["auc"], facts["sensitivity"], facts["specificity"]) == (0.75, 0.5, 0.5)
    assert [name for name, value in facts.items() if name.endswith("_interval") and value is not None] == []


def test_of_several_classes_one_without_an_error_has_none_and_the_mean_has_its_own() -> None:
    truth, p, owner = cases(3)
    p[:, 2] = (truth == 2) * 0.5 + p[:, 2] / 9
    p[:, :2] *= (1 - p[:, 2:]) / p[:, :2].sum(axis=1, keepdims=True)
    facts = verdict(truth, p, owner, looked(owner), ("none", "small", "large"), 0.5)
    assert facts["classes"][2]["auc"] == 1
    assert facts["classes"][2]["se"] is facts["classes"][2]["auc_interval"] is None
    assert all(one["auc_interval"] for one in facts["classes"][:2])
    assert facts["auc_interval"][0] < facts["auc"] < facts["auc_interval"][1]
    sure = 0.1 + 0.7 * np.eye(3)[truth]
    facts = verdict(truth, sure, owner, looked(owner), ("none", "small", "large"), 0.5)
    assert facts["auc"] == 1
    assert facts["se"] is facts["auc_interval"] is None


def test_missed_lesions_have_an_interval_where_it_is_known_whose_they_are() -> None:
    truth, p, owner = cases(2)
    nobodys = verdict(truth, p, owner, looked(owner, missed=30), ("no", "yes"), 0.5)
    of_one = verdict(truth, p, owner, looked(owner, missed=["p0"] * 30), ("no", "yes"), 0.5)
    none = verdict(truth, p, owner, looked(owner), ("no", "yes"), 0.5)
    assert nobodys["cpm"] == of_one["cpm"]
    assert nobodys["cpm"] == pytest.approx(none["cpm"] * truth.sum() / (truth.sum() + 30))
    assert nobodys["cpm_interval"] is None
    # All of one patient: whether he is drawn decides.
    assert np.ptp(of_one["cpm_interval"]) > 1.2 * np.ptp(none["cpm_interval"])
    assert (of_one["lesions"], of_one["missed"]) == (truth.sum() + 30, 30)


def test_a_lesion_that_several_candidates_hit_is_one_in_every_draw() -> None:
    """A weaker second candidate on every lesion changes neither the curve nor its interval."""
    truth, p, owner = cases(2)
    names = np.arange(len(truth)).astype(str)
    hit = truth == 1
    scores, images = p[:, 1], np.unique(owner)
    once = cpm_interval(truth, scores, owner, images=images, lesions=names, replicates=200)
    twice = cpm_interval(
        np.append(truth, truth[hit]),
        np.append(scores, scores[hit] / 2),
        np.append(owner, owner[hit]),
        images=images,
        lesions=np.append(names, names[hit]),
        replicates=200,
    )
    assert twice == once
    with pytest.raises(TooFewPatients, match="1 patients have lesions"):
        cpm_interval([1, 1, 0], [3, 2, 1], ["a", "a", "b"], images=["a", "b"])
