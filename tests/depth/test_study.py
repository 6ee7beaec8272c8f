from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from depth.toys import RECIPE, Toy, held, pairs
from overread_learn.depth import SCRATCH, Cohort, Finding, Network, Share, finetune_last, judge, stratified, study
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


def timeless(findings: list[Finding]) -> list[Finding]:
    return [finding._replace(seconds=0) for finding in findings]


def test_every_depth_and_scratch_for_every_share_and_seed(network: Network) -> None:
    found = list(study(network, COHORT, sizes=[50, 100], seeds=[3, 4], depths=[1, 2], patches=2))
    assert [finding.key for finding in found] == [
        (share, depth, seed) for seed in (3, 4) for share in (50, 100) for depth in (1, 2, SCRATCH)
    ]
    assert [finding.labels for finding in found] == 2 * [10, 10, 10, 20, 20, 20]
    assert [finding.blocks for finding in found] == 4 * ["head", "stage4-head", "scratch"]
    assert {finding.arch for finding in found} == {"squeezenet1_1"}
    assert all(finding.seconds > 0 for finding in found)
    # One of them, done by hand.
    share = Share(COHORT.train, stratified(COHORT.train.labels, 4)[:10])
    start = build("squeezenet1_1", 2, network.weights, seed=4)
    fitted = finetune_last(start, 2, share, COHORT.validation[:2], replace(BRIEF, seed=4), patches=2)
    assert found[7].key == (50, 2, 4)
    on_test, on_validation = judge(fitted.model, COHORT.test), judge(fitted.model, COHORT.validation)
    assert (found[7].auc, found[7].interval) == (on_test.auc, on_test.interval)
    assert (found[7].auc_validation, found[7].se_validation) == (on_validation.auc, on_validation.se)


def test_scratch_knows_nothing_of_the_weights(network: Network) -> None:
    (found,) = study(network, COHORT, sizes=[100], seeds=[5], depths=[])
    share = Share(COHORT.train, stratified(COHORT.train.labels, 5))
    empty = build("squeezenet1_1", 2, None, seed=5)
    fitted = finetune(empty, share, COHORT.validation[:2], replace(BRIEF, rate=0.02, seed=5))
    assert found.depth == SCRATCH
    assert found.auc == judge(fitted.model, COHORT.test).auc


def test_it_yields_one_by_one_and_goes_on_from_what_is_done(network: Network) -> None:
    ask = {"sizes": [50, 100], "seeds": [3], "depths": [1], "patches": 1}
    whole = list(study(network, COHORT, **ask))
    under_way = study(network, COHORT, **ask)
    kept = [next(under_way), next(under_way)]
    under_way.close()
    rest = list(study(network, COHORT, **ask, done={finding.key for finding in kept}))
    assert timeless(kept + rest) == timeless(whole)
    assert len(rest) == 2


def test_all_depths_and_no_scratch(network: Network) -> None:
    found = study(network._replace(scratch=None), COHORT, sizes=[100], seeds=[1], patches=1, most=6)
    assert [(finding.depth, finding.labels) for finding in found] == [(depth, 6) for depth in range(1, 6)]


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
            next(study(network, COHORT, sizes=[50, size], seeds=[1]))
    with pytest.raises(OneClass):
        next(study(network, replace(COHORT, train=Toy(np.ones(20, int))), sizes=[50], seeds=[1]))


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v2"])
def test_published_weights(shared: Path, arch: str) -> None:
    network = Network(arch, 2, shared / "weights" / f"{arch}.pth", replace(RECIPE, rate=5e-4, head_rate=1e-3), None)
    found = list(study(network, COHORT, sizes=[100], seeds=[1], depths=[1, 3], patches=2))
    assert [finding.depth for finding in found] == [1, 3]
    assert max(finding.auc_validation for finding in found) > 0.7
