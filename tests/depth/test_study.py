from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from depth.toys import RECIPE, Toy, held, pairs
from overread_learn.depth import (
    SCRATCH,
    Cohort,
    Finding,
    Network,
    Share,
    find,
    finetune_last,
    judge,
    stratified,
    wished,
)
from overread_learn.evaluate import macro_auc
from overread_learn.finetune import OneClass, finetune
from overread_learn.nets import Classifier, build

BRIEF = replace(RECIPE, epochs=1)
COHORT = Cohort(
    Toy(pairs(20)), [f"train {n % 5}" for n in range(20)], held(pairs(12), "valid"), held(pairs(14), "test")
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(Classifier("squeezenet1_1", 7).net.state_dict(), path)
    return Network("squeezenet1_1", 2, path, BRIEF, scratch=replace(BRIEF, rate=0.02))


def timeless(finding: Finding) -> dict[str, object]:
    table = finding._asdict()
    return {name: value for name, value in table.items() if "seconds" not in name} | {"scores": finding.scores.tolist()}


def test_every_depth_and_scratch_for_every_share_and_seed(network: Network) -> None:
    assert wished(network, sizes=[50, 100], seeds=[3, 4], depths=[1, 2]) == [
        (share, depth, seed) for seed in (3, 4) for share in (50, 100) for depth in (1, 2, SCRATCH)
    ]
    without = network._replace(scratch=None)
    assert wished(without, sizes=[10], seeds=[0]) == [(10, depth, 0) for depth in range(1, 6)]
    assert wished(without, sizes=[10, 10], seeds=[0], depths=[2, 1, 2]) == [(10, 2, 0), (10, 1, 0)]  # found once
    with pytest.raises(ValueError, match=r"squeezenet1_1 has depths 1 .* to 5 .* got 6"):
        wished(network, sizes=[10], seeds=[0], depths=[1, 6])


def test_a_finding_is_what_it_says(network: Network) -> None:
    found = find(network, COHORT, (50, 2, 4), patches=2)
    # Done by hand.
    share = Share(COHORT.train, stratified(COHORT.train.labels, 4)[:10])
    start = build("squeezenet1_1", 2, network.weights, seed=4)
    fitted = finetune_last(start, 2, share, COHORT.validation[:2], replace(BRIEF, seed=4), patches=2)
    on_test, on_validation = judge(fitted.model, COHORT.test), judge(fitted.model, COHORT.validation)
    assert (found.arch, found.labels, found.blocks, found.key) == ("squeezenet1_1", 10, "stage4-head", (50, 2, 4))
    assert (found.auc, found.interval) == (on_test.auc, on_test.interval)
    assert (found.auc_validation, found.se_validation) == (on_validation.auc, on_validation.se)
    assert macro_auc(COHORT.test.labels, found.scores) == pytest.approx(found.auc)
    assert min(found.seconds, found.core_seconds, found.validation_core_seconds) > 0
    assert timeless(find(network, COHORT, (50, 2, 4), patches=2)) == timeless(found)


def test_scratch_knows_nothing_of_the_weights(network: Network) -> None:
    found = find(network, COHORT, (100, SCRATCH, 5))
    share = Share(COHORT.train, stratified(COHORT.train.labels, 5))
    empty = build("squeezenet1_1", 2, None, seed=5)
    fitted = finetune(empty, share, COHORT.validation[:2], replace(BRIEF, rate=0.02, seed=5))
    assert (found.depth, found.blocks) == (SCRATCH, "scratch")
    assert found.auc == judge(fitted.model, COHORT.test).auc


def test_no_more_candidates_than_asked_for(network: Network) -> None:
    assert find(network, COHORT, (100, 1, 1), patches=1, most=6).labels == 6
    assert find(network, COHORT, (1, 1, 1), patches=1).labels == 2  # one of each class


@pytest.mark.parametrize("labels", [pairs(40), (np.arange(50) < 3).astype(int), np.repeat([0, 1, 2], [30, 12, 2])])
def test_shares_keep_the_proportions_and_lie_inside_one_another(labels: np.ndarray) -> None:
    order = stratified(labels, seed=1)
    assert sorted(order) == list(range(len(labels)))
    classes, counts = np.unique(labels, return_counts=True)
    assert set(labels[order[: len(classes)]]) == set(classes)  # none is ever missing
    for size in range(len(classes), len(labels) + 1):
        expected = size * counts / len(labels)
        found = np.bincount(labels[order[:size]], minlength=len(classes))
        assert (np.abs(found - expected) < len(classes)).all()
    assert (order != stratified(labels, seed=2)).any()
    assert (order == stratified(labels, seed=1)).all()


def test_a_share_is_some_of_the_samples() -> None:
    share = Share(COHORT.train, np.array([3, 0, 2]))
    assert len(share) == 3
    assert share.labels.tolist() == [1, 0, 1]
    drawn, same = (samples.draw(at, np.random.default_rng(1)) for samples, at in ((share, 0), (COHORT.train, 3)))
    assert np.array_equal(drawn, same)


def test_no_patient_stands_on_two_sides() -> None:
    for side, name in (("validation", "valid"), ("test", "test")):
        with pytest.raises(ValueError, match=rf"patient {name} 3 stands in train and in {side}"):
            replace(COHORT, patients=[f"{name} 3"] * 20)
    with pytest.raises(ValueError, match="stands in validation and in test"):
        replace(COHORT, test=COHORT.validation)
    with pytest.raises(ValueError, match="20 training candidates came with 3 patients"):
        replace(COHORT, patients=["a", "b", "c"])


def test_what_cannot_be_studied(network: Network) -> None:
    for size in (0, 101):
        with pytest.raises(ValueError, match=rf"1 to 100 per cent, got \[{size}\]"):
            wished(network, sizes=[50, size], seeds=[1])
    with pytest.raises(OneClass):
        find(network, replace(COHORT, train=Toy(np.ones(20, int))), (50, 1, 1))
    with pytest.raises(ValueError, match="no recipe for learning from scratch"):
        find(network._replace(scratch=None), COHORT, (50, SCRATCH, 1))


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v2"])
def test_published_weights(shared: Path, arch: str) -> None:
    network = Network(arch, 2, shared / "weights" / f"{arch}.pth", replace(RECIPE, rate=5e-4, head_rate=1e-3), None)
    found = [find(network, COHORT, (100, depth, 1), patches=2) for depth in (1, 3)]
    assert max(finding.auc_validation for finding in found) > 0.7
