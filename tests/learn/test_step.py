from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from overread_learn.evaluate import auc
from overread_learn.finetune import Diverged, EpochReport, OneClass, Recipe, finetune
from overread_learn.finetune.step import _batches, _optimizer
from overread_learn.nets import Classifier, build

RECIPE = Recipe(rate=0.01, head_rate=0.05, gamma=0.9, epochs=4, momentum=0.9, batch=8, seed=1, balance=False)


def patch(label: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A positive is bright in its middle."""
    drawn = rng.normal(size=(3, 32, 32)).astype(np.float32)
    drawn[:, 12:20, 12:20] += 2 * label
    return drawn


@dataclass
class Toy:
    labels: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return patch(int(self.labels[index]), rng)


def validation(count: int = 12) -> tuple[list[NDArray[np.float32]], NDArray[np.integer]]:
    rng = np.random.default_rng(99)
    labels = np.arange(count) % 2
    return [np.stack([patch(int(label), rng) for _ in range(2 + label)]) for label in labels], labels


TRAIN = Toy(np.arange(32) % 2)


@pytest.fixture(scope="module")
def parent() -> Classifier:
    return build("resnet18", 2, None, seed=0)


def same(one: Classifier, two: Classifier) -> bool:
    theirs = two.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


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
    assert same(finetune(model, TRAIN, validation(), recipe).model, finetune(model, TRAIN, validation(), recipe).model)


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
    batches = list(_batches(labels, RECIPE, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == sizes
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))


def test_balance_draws_both_classes_equally_and_wastes_no_label() -> None:
    labels = (np.arange(40) < 4).astype(np.int64)
    order = np.concatenate(list(_batches(labels, replace(RECIPE, balance=True), np.random.default_rng(0))))
    assert len(order) == 40
    assert labels[order].sum() == 20
    assert np.bincount(order[labels[order] == 1], minlength=4)[:4].tolist() == [5, 5, 5, 5]
    assert len(set(order[labels[order] == 0])) == 20
    # Shuffled: the classes do not come one after the other.
    assert 0 < labels[order][:20].sum() < 20


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


def test_divergence_is_an_error(parent: Classifier) -> None:
    with pytest.raises(Diverged, match="lower the learning rates"):
        finetune(parent, TRAIN, validation(), replace(RECIPE, rate=1e20, head_rate=1e20))


def test_what_cannot_be_trained(parent: Classifier) -> None:
    with pytest.raises(ValueError, match="this one has 3 classes"):
        finetune(build("resnet18", 3, None, seed=0), TRAIN, validation(), RECIPE)
    with pytest.raises(ValueError, match="12 validation candidates came with 10 labels"):
        finetune(parent, TRAIN, (validation()[0], validation()[1][:10]), RECIPE)
    with pytest.raises(ValueError, match="epochs >= 1"):
        replace(RECIPE, epochs=0)
