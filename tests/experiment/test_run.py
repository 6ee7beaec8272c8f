from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from overread_learn.acquisition import STRATEGIES
from overread_learn.evaluate.roc import auc
from overread_learn.experiment.head import HeadLearner
from overread_learn.experiment.learner import Learner
from overread_learn.experiment.material import Material
from overread_learn.experiment.oracle import FORESIGHT, PROPOSALS
from overread_learn.experiment.protocol import Protocol, pool_of
from overread_learn.experiment.ranks import packed, unpacked
from overread_learn.experiment.run import run
from overread_learn.nets import Classifier


def test_a_run_spends_the_budgets_on_train_patients(learner: Learner, material: Material) -> None:
    heard: list[int] = []
    found = run(learner, "random", 0, heard.append)
    assert heard == [step["labels"] for step in found["steps"]] == [12, 20]
    picked = [name for step in found["steps"] for name in step["picks"]]
    assert len(set(picked)) == 20
    train = {name for name, test in zip(material.ids, material.test, strict=True) if not test}
    assert set(picked) <= train
    truth = dict(zip(material.ids, material.labels, strict=True))
    assert found["steps"][-1]["positives"] == sum(truth[name] for name in picked)
    scores = unpacked(found["steps"][-1]["ranks"], int(material.test.sum()))
    assert found["steps"][-1]["auc"] == pytest.approx(auc(material.labels[material.test], scores), abs=1e-9)
    for step in found["steps"]:
        assert sum(step["histogram"]) == 3 * len(step["picks"])
        assert sum(step["patterns"].values()) == len(step["picks"])
    json.dumps(found)


def test_equal_seeds_give_equal_runs_and_others_do_not(learner: Learner) -> None:
    one, again, other = (run(learner, "margin", seed) for seed in (1, 1, 2))
    assert [step["ranks"] for step in one["steps"]] == [step["ranks"] for step in again["steps"]]
    assert [step["picks"] for step in one["steps"]] == [step["picks"] for step in again["steps"]]
    assert [step["picks"] for step in one["steps"]] != [step["picks"] for step in other["steps"]]


def test_runs_of_neighbouring_seeds_share_no_draws(heads: HeadLearner) -> None:
    """The bootstrap takes them for independent: a run's second draw is not the next one's first."""
    runs = [[set(step["picks"]) for step in run(heads, "random", seed)["steps"]] for seed in range(13)]
    shared = [len(mine[1] & next_one[0]) for mine, next_one in pairwise(runs)]
    # By chance 12 * 8 / 60 of 8 are shared.
    assert np.mean(shared) == pytest.approx(1.6, abs=1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_runs(heads: HeadLearner, name: str) -> None:
    found = run(heads, name, 0)
    assert [step["labels"] for step in found["steps"]] == [12, 20]


@pytest.mark.parametrize(
    ("name", "training", "phases"),
    [
        ("random", "ACFT(LQ)", ["first", "later"]),
        ("diversity", "ACFT(LQ)", ["first", "later_diversity"]),
        ("scratch", "ACFT(LQ)", ["scratch", "scratch"]),
        ("diversity", "AFT(LQ)", ["first", "first"]),  # M0 begins anew each round
        ("scratch", "AFT(LQ)", ["scratch", "scratch"]),
    ],
)
def test_each_round_trains_by_the_phase_of_table_3(
    heads: HeadLearner, monkeypatch: pytest.MonkeyPatch, name: str, training: str, phases: list[str]
) -> None:
    monkeypatch.setattr(heads, "protocol", replace(heads.protocol, training=training))
    heard = []
    fit = HeadLearner.fit

    def listening(
        self: HeadLearner, parent: Classifier, answers: Mapping[int, int], *, seed: int, phase: str
    ) -> Classifier:
        heard.append(phase)
        return fit(self, parent, answers, seed=seed, phase=phase)

    monkeypatch.setattr(HeadLearner, "fit", listening)
    run(heads, name, 0)
    assert heard == phases


def test_while_a_class_is_absent_nothing_is_trained(learner: Learner, material: Material) -> None:
    negatives = replace(learner.protocol, budgets=(1, 1, 40))
    seed = next(
        seed
        for seed in range(50)
        if sum(material.labels[material.ids.index(run_picks)] for run_picks in _first(learner, seed)) == 0
    )
    steps = run(Learner(material, negatives, None), "random", seed)["steps"]
    assert steps[0]["ranks"] == steps[1]["ranks"]
    assert steps[2]["ranks"] != steps[1]["ranks"]


def _first(learner: Learner, seed: int) -> list[str]:
    picks: list[str] = []
    short = Learner(learner.material, replace(learner.protocol, budgets=(1, 1), epochs=1), None)
    for step in run(short, "random", seed)["steps"]:
        picks += step["picks"]
    return picks


def test_a_pool_that_runs_out_ends_the_curve(material: Material, protocol: Protocol) -> None:
    found = run(Learner(material, replace(protocol, budgets=(50, 50, 50)), None), "random", 0)
    assert [step["labels"] for step in found["steps"]] == [50, 60]


def test_label_noise_flips_answers_and_is_counted(material: Material, protocol: Protocol) -> None:
    found = run(Learner(material, replace(protocol, label_noise=0.3), None), "random", 0)
    truth = dict(zip(material.ids, material.labels, strict=True))
    right = sum(truth[name] for step in found["steps"] for name in step["picks"])
    assert 2 <= found["flipped"] <= 12  # of the twenty that were asked, not of the sixty in the pool
    assert found["steps"][-1]["positives"] == right, "the truth, whatever was answered"


def test_a_new_head_learns_at_one_rate_whether_it_begins_anew_or_goes_on(heads: HeadLearner) -> None:
    pretrained = replace(heads, weights=heads.cache)  # nothing is read from it here
    assert pretrained.learning("scratch", 0) == pretrained.learning("later", 0)
    assert pretrained.learning("scratch", 0).head_rate != Learner.learning(pretrained, "scratch", 0).head_rate


@pytest.mark.parametrize("training", ["ACFT(Q)", "ACFT(HQ)", "rehearsal"])
def test_from_scratch_all_labels_are_learnt_whatever_the_row(
    heads: HeadLearner, monkeypatch: pytest.MonkeyPatch, training: str
) -> None:
    heard = []
    fit = HeadLearner.fit

    def listening(self: HeadLearner, parent: Classifier, answers: Mapping[int, int], **more: Any) -> Classifier:
        heard.append(len(answers))
        return fit(self, parent, answers, **more)

    monkeypatch.setattr(HeadLearner, "fit", listening)
    monkeypatch.setattr(heads, "protocol", replace(heads.protocol, training=training))
    run(heads, "scratch", 0)
    assert heard == [12, 20]


@pytest.mark.parametrize("training", ["RFT(LQ)", "ACFT(Q)", "ACFT(HQ)", "rehearsal"])
def test_the_rows_of_table_2(material: Material, protocol: Protocol, training: str) -> None:
    few = replace(protocol, budgets=(40, 4))  # a reservoir as small as the second round can't hold all of the first
    base = run(Learner(material, few, None), "random", 0)
    found = run(Learner(material, replace(few, training=training), None), "random", 0)
    assert found["steps"][0]["ranks"] == base["steps"][0]["ranks"]
    assert found["steps"][1]["ranks"] != base["steps"][1]["ranks"]


@pytest.fixture(scope="module")
def heads(material: Material, protocol: Protocol, tmp_path_factory: pytest.TempPathFactory) -> HeadLearner:
    cache = tmp_path_factory.mktemp("features") / "features.npy"
    learner = HeadLearner(material, replace(protocol, depth=1, epochs=20), None, cache=cache)
    learner.compute()
    return learner


def test_the_head_alone_learns_on_features_computed_once(heads: HeadLearner, material: Material) -> None:
    rows = np.load(heads.cache)
    assert rows.shape == (80, 3, 512)
    train = rows[~material.test].reshape(-1, 512)
    varies = train.std(axis=0) > 0
    assert np.allclose(train.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(train.std(axis=0)[varies], 1, atol=1e-3)
    before = heads.cache.stat().st_mtime_ns
    heads.compute()
    assert heads.cache.stat().st_mtime_ns == before
    found = run(heads, "badge", 0)
    assert found["steps"][-1]["auc"] > 0.7


@pytest.mark.parametrize("prevalence", [0.05, 0.2, 0.6])
def test_only_the_pool_is_resampled(prevalence: float) -> None:
    rng = np.random.default_rng(0)
    labels, test = (rng.random(4000) < 0.3).astype(int), rng.random(4000) < 0.3
    pool = pool_of(labels, test, prevalence, 1)
    assert labels[pool].mean() == pytest.approx(prevalence, abs=2e-3)
    assert not test[pool].any()
    assert np.array_equal(pool, pool_of(labels, test, prevalence, 1))
    assert not np.array_equal(pool, pool_of(labels, test, prevalence, 2))
    assert len(pool_of(labels, test, None, 1)) == (~test).sum()


def test_a_prevalence_that_leaves_nothing_is_refused(material: Material) -> None:
    with pytest.raises(ValueError, match="are left"):
        pool_of(material.labels, material.test, 0.01, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"budgets": ()}, "budgets"),
        ({"prevalence": 1.0}, "prevalence"),
        ({"label_noise": 0.5}, "label noise"),
        ({"patches": 0}, "at least 1"),
        ({"depth": 2}, "depth"),
        ({"rates": "mine"}, "rates"),
    ],
)
def test_a_protocol_that_cannot_be_run(protocol: Protocol, change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(protocol, **change)  # type: ignore[arg-type]


def test_the_order_of_scores_survives_packing_and_so_do_ties() -> None:
    binary, several = np.random.default_rng(0).random((500, 2)), np.random.default_rng(0).random((50, 3))
    binary[7] = binary[300]
    for scores, kept in ((binary, binary[:, 1:]), (several, several)):
        ranks = unpacked(packed(scores), len(scores)).reshape(kept.shape)
        for column, rank in zip(kept.T, ranks.T, strict=True):
            assert np.array_equal(np.sign(column[:, None] - column), np.sign(rank[:, None] - rank))
    assert len(packed(np.random.default_rng(1).random((3000, 2)))) < 7500


def test_foresight_takes_the_proposal_that_ranks_the_test_patients_best(heads: HeadLearner) -> None:
    short = HeadLearner(
        heads.material, replace(heads.protocol, budgets=(20,)), heads.weights, heads.threads, cache=heads.cache
    )
    found = run(short, FORESIGHT, 0)["steps"][0]
    proposed = {name: run(short, name, 0)["steps"][0] for name in PROPOSALS}
    assert found["auc"] == max(step["auc"] for step in proposed.values())
    assert found["picks"] in [step["picks"] for step in proposed.values()]


def test_the_oracle_evens_out_the_classes(heads: HeadLearner) -> None:
    found = run(heads, "oracle", 0)
    assert [(step["labels"], step["positives"]) for step in found["steps"]] == [(12, 6), (20, 10)]
    assert run(heads, "oracle", 0)["steps"][1]["picks"] == found["steps"][1]["picks"]
