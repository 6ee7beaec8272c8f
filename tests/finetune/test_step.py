import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from finetune.toys import RECIPE, Toy, same, validation
from overread_learn.evaluate import auc, macro_auc
from overread_learn.finetune import Diverged, EpochReport, OneClass, finetune
from overread_learn.finetune.order import batches
from overread_learn.finetune.step import _optimizer, _train_mode
from overread_learn.finetune.terms import Validation
from overread_learn.nets import Classifier, build

TRAIN = Toy(np.arange(32) % 2)


class Colours(Toy):
    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw noise that is brightest in the channel of its class."""
        drawn = rng.normal(size=(3, 32, 32)).astype(np.float32)
        drawn[self.labels[index]] += 1
        return drawn


@pytest.fixture(scope="module")
def colours() -> Colours:
    return Colours(np.arange(36) % 3)


@pytest.fixture(scope="module")
def parent() -> Classifier:
    return build("resnet18", 2, None, seed=0)


def test_learns_reports_and_leaves_the_parent_alone(parent: Classifier) -> None:
    before = {name: value.clone() for name, value in parent.state_dict().items()}
    reports: list[EpochReport] = []
    fitted = finetune(parent, TRAIN, validation(), RECIPE, reports.append)
    assert fitted.auc_validation >= 0.95
    assert fitted.history == tuple(reports)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert reports[-1].loss < reports[0].loss
    assert [report.rate for report in reports] == pytest.approx([0.01, 0.009, 0.0081, 0.00729])
    assert all(torch.equal(value, before[name]) for name, value in parent.state_dict().items())


def test_the_best_epoch_is_the_one_that_is_returned(parent: Classifier) -> None:
    patches, labels = validation()
    # Twelve labels at random cannot be learnt: the AUC wanders, and its best epoch need not be the last.
    labels = np.random.default_rng(4).permutation(labels)
    fitted = finetune(parent, TRAIN, (patches, labels), replace(RECIPE, epochs=5))
    best = max(fitted.history, key=lambda report: (report.auc, report.epoch))
    assert (fitted.best_epoch, fitted.auc_validation) == (best.epoch, best.auc)
    assert not fitted.model.training
    with torch.inference_mode():
        means = [torch.softmax(fitted.model(torch.from_numpy(one)), 1)[:, 1].mean().item() for one in patches]
    assert auc(labels, means) == pytest.approx(best.auc)


def test_equal_seeds_give_equal_weights(parent: Classifier) -> None:
    recipe = replace(RECIPE, epochs=2, balance=True)
    one = finetune(parent, TRAIN, validation(), recipe)
    torch.rand(7)  # whatever else the process draws
    two = finetune(parent, TRAIN, validation(), recipe)
    assert one.history == two.history
    assert same(one.model, two.model)
    assert not same(one.model, finetune(parent, TRAIN, validation(), replace(recipe, seed=2)).model)


def test_dropout_is_seeded_too() -> None:
    model = build("squeezenet1_1", 2, None, seed=0)
    recipe = replace(RECIPE, epochs=1)
    one = finetune(model, TRAIN, validation(), recipe).model
    torch.rand(7)  # whatever else the process draws
    assert same(one, finetune(model, TRAIN, validation(), recipe).model)


def test_batches_of_one_are_of_two() -> None:
    small = build("resnet18", 2, None, seed=0)  # whose batch norm can't learn from one value a channel
    one, two = (finetune(small, Toy(np.arange(4) % 2), None, replace(RECIPE, epochs=1, batch=n)).model for n in (1, 2))
    assert same(one, two)


def test_a_candidate_without_patches_is_said_before_anything_is_learnt(parent: Classifier) -> None:
    patches, truth = validation(4)
    with pytest.raises(ValueError, match="a validation candidate has no patches"):
        finetune(parent, TRAIN, ([patches[0][:0], *patches[1:]], truth), RECIPE)


def test_rates_by_role(parent: Classifier) -> None:
    groups = _optimizer(parent, RECIPE).param_groups
    assert [group["lr"] for group in groups] == [0.01, 0.02, 0.05, 0.1]
    assert all(group["momentum"] == 0.9 for group in groups)
    assert sum(len(group["params"]) for group in groups) == len(list(parent.parameters()))
    assert {tuple(value.shape) for value in groups[2]["params"]} == {(2, 512)}
    assert {tuple(value.shape) for value in groups[3]["params"]} == {(2,)}


@pytest.mark.parametrize(("count", "sizes"), [(32, [8] * 4), (33, [9, 8, 8, 8]), (5, [5]), (15, [15])])
def test_no_batch_is_smaller_than_asked(count: int, sizes: list[int]) -> None:
    labels = np.arange(count) % 2
    parts = list(batches(labels, batch=8, balance=False, rng=np.random.default_rng(0)))
    assert [len(part) for part in parts] == sizes
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))


def test_balance_draws_both_classes_equally_and_wastes_no_label() -> None:
    labels = (np.arange(40) < 4).astype(np.int64)
    order = np.concatenate(list(batches(labels, batch=8, balance=True, rng=np.random.default_rng(0))))
    assert len(order) == 40
    assert labels[order].sum() == 20
    assert np.bincount(order[labels[order] == 1], minlength=4)[:4].tolist() == [5, 5, 5, 5]
    assert len(set(order[labels[order] == 0])) == 20
    # Shuffled: the classes do not come one after the other.
    assert 0 < labels[order][:20].sum() < 20


def test_balance_draws_every_class_that_is_present() -> None:
    labels = np.repeat([0, 2, 3], [20, 8, 2])  # nobody has found a 1 yet
    order = np.concatenate(list(batches(labels, batch=8, balance=True, rng=np.random.default_rng(0))))
    assert np.bincount(labels[order], minlength=5).tolist() == [10, 0, 10, 10, 0]
    assert np.bincount(order)[28:].tolist() == [5, 5]


def test_fewer_candidates_than_classes_still_make_a_batch() -> None:
    order = np.concatenate(list(batches(np.array([4, 4, 1]), batch=8, balance=True, rng=np.random.default_rng(0))))
    assert len(order) == 3
    assert set(order) <= {0, 1, 2}


def test_without_validation_the_last_epoch_is_kept(parent: Classifier) -> None:
    recipe = replace(RECIPE, epochs=2)
    bare = finetune(parent, TRAIN, None, recipe)
    assert math.isnan(bare.auc_validation)
    assert all(math.isnan(report.auc) for report in bare.history)
    assert bare.best_epoch == len(bare.history) == 2
    # Validation only looks: the losses are those of a run that has it.
    looked_at = finetune(parent, TRAIN, validation(), recipe)
    assert [report.loss for report in bare.history] == [report.loss for report in looked_at.history]
    once = replace(RECIPE, epochs=1)
    assert same(finetune(parent, TRAIN, None, once).model, finetune(parent, TRAIN, validation(), once).model)


def test_three_classes(colours: Toy) -> None:
    rng = np.random.default_rng(7)
    held_out = [np.stack([colours.draw(index, rng)] * 2) for index in range(9)], colours.labels[:9]
    fitted = finetune(build("resnet18", 3, None, seed=0), colours, held_out, replace(RECIPE, balance=True))
    assert fitted.auc_validation >= 0.95
    with torch.inference_mode():
        means = [torch.softmax(fitted.model(torch.from_numpy(one)), 1).mean(0).numpy() for one in held_out[0]]
    assert macro_auc(held_out[1], np.stack(means)) == pytest.approx(fitted.auc_validation)


def test_two_of_three_classes_are_enough_to_begin(colours: Toy) -> None:
    labels = np.array([0, 2] * 8)
    model = build("squeezenet1_1", 3, None, seed=0)
    fitted = finetune(model, replace(colours, labels=labels), None, replace(RECIPE, epochs=1))
    assert np.isfinite(fitted.history[0].loss)


def test_what_is_frozen_stays_and_equals_a_network_that_was_told_nothing(parent: Classifier) -> None:
    frozen = copy.deepcopy(parent)
    learning = {"net.layer4.1.bn2.weight", "net.fc.weight", "net.fc.bias"}
    for name, value in frozen.named_parameters():
        value.requires_grad = name in learning
    fitted = finetune(frozen, TRAIN, None, replace(RECIPE, epochs=2))
    before = frozen.state_dict()
    changed = {name for name, value in fitted.model.state_dict().items() if not torch.equal(value, before[name])}
    # The one batch norm that learns, if only by half, goes on counting; all others are frozen with their statistics.
    statistics = {f"net.layer4.1.bn2.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert changed == learning | statistics
    assert {name for name, value in fitted.model.named_parameters() if value.requires_grad} == learning


def test_a_batch_norm_without_parameters_learns_its_statistics() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 2, 1))
    _train_mode(net)  # type: ignore[arg-type]
    assert net[0].training


def test_frozen_groups_leave_the_rates_in_their_places(parent: Classifier) -> None:
    frozen = copy.deepcopy(parent)
    for name, value in frozen.named_parameters():
        value.requires_grad = name == "net.fc.bias"
    groups = _optimizer(frozen, RECIPE).param_groups
    assert [(group["lr"], len(group["params"])) for group in groups] == [(0.01, 0), (0.02, 0), (0.05, 0), (0.1, 1)]
    frozen.requires_grad_(requires_grad=False)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        finetune(frozen, TRAIN, None, RECIPE)


@pytest.mark.parametrize(
    ("train", "held_out", "complaint"),
    [
        (np.ones(8, int), [0, 1], "train has no negative among its 8"),
        (np.zeros(8, int), [0, 1], "train has no positive"),
        (np.arange(8) % 2, [1, 1], "validation has no negative among its 2"),
        (np.arange(8) % 2, [0, 0], "validation has no positive"),
    ],
)
def test_a_missing_class_is_named(parent: Classifier, train: Any, held_out: list[int], complaint: str) -> None:
    patches = validation(2)[0]
    with pytest.raises(OneClass, match=complaint):
        finetune(parent, Toy(train), (patches, np.array(held_out)), RECIPE)


def test_one_class_of_three_is_not_enough(colours: Toy) -> None:
    model = build("squeezenet1_1", 3, None, seed=0)
    with pytest.raises(OneClass, match=r"train has no second class among its 4 candidates: \[1\]"):
        finetune(model, replace(colours, labels=np.ones(4, int)), None, RECIPE)
    with pytest.raises(OneClass, match="validation has no second class"):
        finetune(model, colours, (validation(2)[0], np.array([2, 2])), RECIPE)


def test_divergence_is_an_error(parent: Classifier) -> None:
    with pytest.raises(Diverged, match="lower the learning rates"):
        finetune(parent, TRAIN, validation(), replace(RECIPE, rate=1e20, head_rate=1e20))


@pytest.mark.parametrize("held_out", [validation(), None])
def test_divergence_in_the_only_step_of_an_epoch_is_one_too(parent: Classifier, held_out: Validation | None) -> None:
    few = Toy(np.arange(12) % 2)
    with pytest.raises(Diverged, match="after epoch 1 the network's scores are not finite; lower the learning rates"):
        finetune(parent, few, held_out, replace(RECIPE, rate=1e20, head_rate=1e20, batch=16, epochs=1))


def test_what_cannot_be_trained(parent: Classifier) -> None:
    with pytest.raises(ValueError, match=r"train has the labels \[0, 1, 2\], where the network's 2 classes are 0..1"):
        finetune(parent, Toy(np.arange(9) % 3), validation(), RECIPE)
    with pytest.raises(ValueError, match="12 validation candidates came with 10 labels"):
        finetune(parent, TRAIN, (validation()[0], validation()[1][:10]), RECIPE)
    with pytest.raises(ValueError, match="epochs >= 1"):
        replace(RECIPE, epochs=0)
