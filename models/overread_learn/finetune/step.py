"""The continual step: M(t) is M(t-1), fine-tuned on the labels so far.

Algorithm 1, line "M_t <- fine-tune(L, M_(t-1))", of Zhou et al. (CVPR 2017), with the learning parameters of its
Table 3: SGD with momentum, a larger rate for the head than for the trunk, twice the rate for biases, and a factor
gamma each epoch. What the paper leaves open: the epoch with the best validation AUC is the one that is kept.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from overread_learn.evaluate.roc import OneClass, auc
from overread_learn.nets.classifier import Classifier, parameters_by_role

__all__ = ["Diverged", "EpochReport", "Fitted", "Recipe", "Samples", "finetune"]

SCORED_AT_ONCE = 256
BIAS_FACTOR = 2
"""A bias learns at twice the rate of its weights (AIFT, Table 3)."""


class Diverged(ArithmeticError):
    """The loss is no longer finite: the learning rate is too high for these samples."""


@dataclass(frozen=True)
class Recipe:
    """How to learn. ``rate`` is the trunk's, ``head_rate`` the head's; ``gamma`` multiplies both each epoch.

    ``batch`` is the smallest batch (a remainder joins the others). ``balance`` draws both classes equally often, as
    many candidates an epoch as there are. ``seed`` fixes order, augmentation and dropout.
    """

    rate: float
    head_rate: float
    gamma: float
    epochs: int
    momentum: float
    batch: int
    seed: int
    balance: bool

    def __post_init__(self) -> None:
        """Refuse a recipe that would train nothing."""
        if self.epochs < 1 or self.batch < 1 or min(self.rate, self.head_rate) < 0:
            raise ValueError(f"a recipe needs epochs >= 1, batch >= 1 and rates >= 0, got {self}")


class Samples(Protocol):
    """Labelled candidates to learn from."""

    @property
    def labels(self) -> NDArray[np.integer]:
        """(n,), 0 or 1."""

    def __len__(self) -> int:
        """Return n."""

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one augmented patch of a candidate, (3, s, s)."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch, counted from 1: its mean cross-entropy (nats), the trunk's rate, and the validation AUC after it."""

    epoch: int
    loss: float
    rate: float
    auc: float


@dataclass(frozen=True)
class Fitted:
    """A trained network in eval mode, as it was after ``best_epoch``."""

    model: Classifier
    auc_validation: float
    best_epoch: int
    history: tuple[EpochReport, ...]


def finetune(
    model: Classifier,
    train: Samples,
    validation: tuple[Sequence[NDArray[np.float32]], NDArray[np.integer]],
    recipe: Recipe,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Fitted:
    """Fine-tune a copy of ``model``, all layers, one augmented patch a candidate an epoch; ``model`` stays as it is.

    ``validation`` holds each candidate's patches, (m_i, 3, s, s), and the labels, (n,). The AUC is that of the mean
    patch probability; among equal epochs the later is kept, which has seen more. Equal seeds on one machine give equal
    weights. Work runs where the model lives (CPU or GPU).

    Raises OneClass where train or validation lacks a class, ValueError where the network is not binary, Diverged.
    """
    if model.classes != 2:  # the AUC below is that of positive against negative
        raise ValueError(f"the continual step is for binary networks, this one has {model.classes} classes")
    labels = _both_classes("train", train.labels)
    held_out, truth = validation[0], _both_classes("validation", validation[1])
    if len(held_out) != len(truth):
        raise ValueError(f"{len(held_out)} validation candidates came with {len(truth)} labels")
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)  # 1.4 times faster on a CPU
    rng = np.random.default_rng(recipe.seed)
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, recipe.gamma)
    history: list[EpochReport] = []
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # dropout
        for epoch in range(1, recipe.epochs + 1):
            rate = float(schedule.get_last_lr()[0])
            loss = _epoch(model, optimizer, train, labels, recipe, rng)
            report = EpochReport(epoch, loss, rate, auc(truth, _probabilities(model, held_out)))
            schedule.step()
            history.append(report)
            if report is _best(history):
                best_state = copy.deepcopy(model.state_dict())
            if on_epoch:
                on_epoch(report)
    best = _best(history)
    model.load_state_dict(best_state)
    model.to(memory_format=torch.contiguous_format).eval()
    return Fitted(model, best.auc, best.epoch, tuple(history))


def _best(history: Sequence[EpochReport]) -> EpochReport:
    return max(history, key=lambda report: (report.auc, report.epoch))


def _both_classes(which: str, labels: NDArray[np.integer]) -> NDArray[np.integer]:
    for value, name in enumerate(("negative", "positive")):
        if not (labels == value).any():
            raise OneClass(f"{which} has no {name} among its {len(labels)} candidates")
    return labels


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.SGD:
    groups = []
    for parameters, rate in zip(parameters_by_role(model), (recipe.rate, recipe.head_rate), strict=True):
        biases = {name for name in parameters if name.endswith("bias")}
        weights = [value for name, value in parameters.items() if name not in biases]
        groups.append({"params": weights, "lr": rate})
        groups.append({"params": [parameters[name] for name in biases], "lr": BIAS_FACTOR * rate})
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)


def _epoch(
    model: Classifier,
    optimizer: torch.optim.SGD,
    train: Samples,
    labels: NDArray[np.integer],
    recipe: Recipe,
    rng: np.random.Generator,
) -> float:
    """Pass once over the samples; returns the mean loss in nats."""
    model.train()
    total = 0.0
    for members in _batches(labels, recipe, rng):
        patches = np.stack([train.draw(int(index), rng) for index in members])
        target = torch.from_numpy(labels[members].astype(np.int64))
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(_tensor(model, patches)), target.to(_device(model)))
        value = loss.item()
        if not np.isfinite(value):
            raise Diverged(
                f"the loss became {value}; lower the learning rates ({recipe.rate}, head {recipe.head_rate})"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += value * len(members)
    return total / len(labels)


def _batches(labels: NDArray[np.integer], recipe: Recipe, rng: np.random.Generator) -> Iterator[NDArray[np.integer]]:
    """Yield the epoch's order in batches of ``recipe.batch`` or more: batch norm cannot learn from a lone remainder."""
    count = len(labels)
    if recipe.balance:
        halves = (count // 2, count - count // 2)
        order = np.concatenate(
            [_cycle(np.flatnonzero(labels == value), size, rng) for value, size in enumerate(halves)]
        )
        rng.shuffle(order)
    else:
        order = rng.permutation(count)
    yield from np.array_split(order, max(1, count // recipe.batch))


def _cycle(members: NDArray[np.integer], size: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """Draw ``size`` members, none a second time before all had their turn."""
    return np.concatenate([rng.permutation(members) for _ in range(-(-size // len(members)))])[:size]


def _probabilities(model: Classifier, candidates: Sequence[NDArray[np.float32]]) -> list[float]:
    """Return each candidate's mean patch probability of the positive class."""
    model.eval()
    patches = np.concatenate(candidates)
    with torch.inference_mode():
        positive = torch.cat(
            [
                torch.softmax(model(_tensor(model, patches[start : start + SCORED_AT_ONCE])).double(), dim=1)[:, 1]
                for start in range(0, len(patches), SCORED_AT_ONCE)
            ]
        )
    ends = np.cumsum([len(candidate) for candidate in candidates])[:-1]
    return [float(part.mean()) for part in np.split(positive.cpu().numpy(), ends)]


def _device(model: Classifier) -> torch.device:
    return next(model.parameters()).device


def _tensor(model: Classifier, patches: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(patches).to(_device(model)).contiguous(memory_format=torch.channels_last)
