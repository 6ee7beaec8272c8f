"""The continual step: M(t) is M(t-1), fine-tuned on the labels so far.

Algorithm 1, line "M_t <- fine-tune(L, M_(t-1))", of Zhou et al. (CVPR 2017), with the learning parameters of its
Table 3: SGD with momentum, a larger rate for the head than for the trunk, twice the rate for biases, and a factor
gamma each epoch. What the paper leaves open: the epoch with the best validation AUC is the one that is kept.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from overread_learn.evaluate.roc import OneClass, macro_auc
from overread_learn.finetune.checkpoint import Checkpoint, Training, identity
from overread_learn.finetune.order import batches
from overread_learn.finetune.predict import device_of, probabilities, tensor
from overread_learn.finetune.terms import EpochReport, Recipe, Samples, Validation
from overread_learn.nets.classifier import Classifier, parameters_by_role

__all__ = ["Diverged", "Fitted", "finetune", "learning_norms"]

BIAS_FACTOR = 2
"""A bias learns at twice the rate of its weights (AIFT, Table 3)."""
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


class Diverged(ArithmeticError):
    """The loss is no longer finite, or what the network says: the learning rate is too high for these samples."""


@dataclass(frozen=True)
class Fitted:
    """A trained network in eval mode, as it was after ``best_epoch``; ``auc_validation`` is that epoch's."""

    model: Classifier
    auc_validation: float
    best_epoch: int
    history: tuple[EpochReport, ...]


def finetune(
    model: Classifier,
    train: Samples,
    validation: Validation | None,
    recipe: Recipe,
    on_epoch: Callable[[EpochReport], None] | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fine-tune a copy of ``model``, one augmented patch a candidate an epoch; ``model`` stays as it is.

    Parameters whose ``requires_grad`` is False stay as they are, and so do the statistics of a batch norm that is
    frozen whole. The validation AUC is that of the mean patch probability, for more than two classes the mean of one
    class against the rest; among equal epochs the later is kept, which has seen more. Without validation the last epoch
    is kept. Work runs where the model lives (CPU or GPU). Equal seeds on one machine give equal weights, on a GPU as
    far as its kernels are deterministic.

    ``checkpoint`` names a file that is replaced after every epoch. Where it exists, training goes on from it, to the
    weights that it would have had without the break; ``on_epoch`` hears of the epochs that run now. It stays behind
    when the training is done.

    Raises OneClass where train or validation lacks a class (of more than two classes, where fewer than two are
    present), ValueError on a label that the network has no output for or where everything is frozen, Diverged,
    OtherTraining where the checkpoint is of another recipe, other data or other start weights.
    """
    labels = _checked("train", train.labels, model.classes)
    if validation:
        truth = _checked("validation", validation[1], model.classes)
        if len(validation[0]) != len(truth):
            raise ValueError(f"{len(validation[0])} validation candidates came with {len(truth)} labels")
        if not all(len(candidate) for candidate in validation[0]):
            raise ValueError("a validation candidate has no patches")
    keeper = Checkpoint(checkpoint, identity(model, train, validation, recipe)) if checkpoint else None
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)  # 1.4 times faster on a CPU
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, recipe.gamma)
    training = Training(model, optimizer, schedule, np.random.default_rng(recipe.seed))
    history = training.history
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # dropout
        if keeper:
            keeper.restore(training)
        while len(history) < recipe.epochs:
            rate = float(schedule.get_last_lr()[0])
            loss, last = _epoch(model, optimizer, train, labels, recipe, training.rng)
            # A step can break a network whose loss before it was finite; then the last one of an epoch stays unseen.
            said = probabilities(model, validation[0] if validation else [last])
            if not np.isfinite(said).all():
                raise _diverged(f"after epoch {len(history) + 1} the network's scores are not finite", recipe)
            figure = macro_auc(truth, said) if validation else math.nan
            schedule.step()
            report = EpochReport(len(history) + 1, loss, rate, figure)
            history.append(report)
            if report is _best(history):
                training.best_state = copy.deepcopy(model.state_dict())
            if keeper:
                keeper.save(training)
            if on_epoch:
                on_epoch(report)
    best = _best(history)
    model.load_state_dict(training.best_state)
    model.to(memory_format=torch.contiguous_format).eval()
    return Fitted(model, best.auc, best.epoch, tuple(history))


def _diverged(what: str, recipe: Recipe) -> Diverged:
    return Diverged(f"{what}; lower the learning rates ({recipe.rate}, head {recipe.head_rate})")


def _best(history: Sequence[EpochReport]) -> EpochReport:
    if math.isnan(history[-1].auc):  # nothing was held out
        return history[-1]
    return max(history, key=lambda report: (report.auc, report.epoch))


def _checked(which: str, labels: NDArray[np.integer], classes: int) -> NDArray[np.integer]:
    """Return the labels, which must fit the network and leave something to tell apart."""
    if not np.isin(labels, np.arange(classes)).all():
        found = np.unique(labels)[:10].tolist()
        raise ValueError(f"{which} has the labels {found}, where the network's {classes} classes are 0..{classes - 1}")
    present = np.unique(labels)
    if classes == 2:
        for value, name in enumerate(("negative", "positive")):
            if value not in present:
                raise OneClass(f"{which} has no {name} among its {len(labels)} candidates")
    elif len(present) < 2:
        raise OneClass(f"{which} has no second class among its {len(labels)} candidates: {present.tolist()}")
    return labels


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.SGD:
    """Return SGD over what is not frozen, in four groups: trunk weights, trunk biases, head weights, head biases."""
    groups: list[dict[str, object]] = []
    for role, rate in zip(parameters_by_role(model), (recipe.rate, recipe.head_rate), strict=True):
        learning = {name: value for name, value in role.items() if value.requires_grad}
        biases = [value for name, value in learning.items() if name.endswith("bias")]
        weights = [value for name, value in learning.items() if not name.endswith("bias")]
        groups.append({"params": weights, "lr": rate})
        groups.append({"params": biases, "lr": BIAS_FACTOR * rate})
    if not any(group["params"] for group in groups):
        raise ValueError("every parameter is frozen: there is nothing to train")
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)


def learning_norms(model: nn.Module) -> list[BatchNorm]:
    """Return the batch norms that are not frozen whole: their statistics learn too."""
    found = []
    for module in model.modules():
        if isinstance(module, BatchNorm):
            own = list(module.parameters())
            if not own or any(value.requires_grad for value in own):
                found.append(module)
    return found


def _train_mode(model: nn.Module) -> None:
    """Let the network learn; a batch norm that is frozen whole keeps its statistics."""
    model.train()
    learning = set(learning_norms(model))
    for module in model.modules():
        if isinstance(module, BatchNorm) and module not in learning:
            module.eval()


def _epoch(
    model: Classifier,
    optimizer: torch.optim.SGD,
    train: Samples,
    labels: NDArray[np.integer],
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[float, NDArray[np.float32]]:
    """Pass once over the samples; returns the mean loss in nats, and the patches of the last step, (b, 3, s, s)."""
    _train_mode(model)
    total = 0.0
    for members in batches(labels, batch=recipe.batch, balance=recipe.balance, rng=rng):
        patches = np.stack([train.draw(int(index), rng) for index in members])
        target = torch.from_numpy(labels[members].astype(np.int64))
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(tensor(model, patches)), target.to(device_of(model)))
        value = loss.item()
        if not np.isfinite(value):
            raise _diverged(f"the loss became {value}", recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += value * len(members)
    return total / len(labels), patches
