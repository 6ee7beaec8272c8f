"""Between the deployed network and the new one: WiSE-FT, theta = (1 - a) deployed + a new.

Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022. The straight line between two networks that share
their start is often better than either end, and a step part of the way forgets less. An average of weights has other
activations than either end, so batch-norm statistics are estimated again from training patches (Izmailov et al., UAI
2018, section 3.2).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from overread_learn.evaluate.roc import macro_auc
from overread_learn.finetune.order import batches
from overread_learn.finetune.predict import probabilities, tensor
from overread_learn.finetune.step import learning_norms
from overread_learn.finetune.terms import Recipe, Samples, Validation
from overread_learn.nets.blocks import blocks, freeze
from overread_learn.nets.classifier import Classifier

__all__ = ["SHARES", "Interpolated", "choose", "interpolate", "reestimate"]

SHARES = tuple(step / 10 for step in range(11))
"""The values of a that are tried."""


@dataclass(frozen=True)
class Interpolated:
    """The network that was chosen, in eval mode."""

    model: Classifier
    share: float
    """The a that was chosen: 0 is the deployed network, 1 the new one."""
    auc: float
    """On validation."""
    tried: tuple[tuple[float, float], ...]
    """Every a with its AUC on validation: the best is chosen on these very candidates, so it flatters a little."""


def interpolate(deployed: Classifier, new: Classifier, share: float) -> Classifier:
    """Return a network whose weights lie ``share`` of the way from ``deployed`` to ``new``, both left as they are.

    Raises ValueError where the networks are not of one kind.
    """
    if (deployed.arch, deployed.classes) != (new.arch, new.classes):
        raise ValueError(
            f"{deployed.arch} with {deployed.classes} classes and {new.arch} with {new.classes} have no weights between"
        )
    there = new.state_dict()
    between = copy.deepcopy(deployed)
    between.load_state_dict(
        {
            name: torch.lerp(value, there[name].to(value.device), share) if value.is_floating_point() else value
            for name, value in deployed.state_dict().items()
        }
    )
    return between.eval()


def reestimate(model: Classifier, train: Samples, recipe: Recipe) -> None:
    """Estimate the batch-norm statistics again, in place: means over the batches of one epoch of the recipe.

    A batch norm that is frozen whole keeps its own, as in training. The model ends in eval mode.
    """
    model.eval()
    norms = learning_norms(model)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # plain means, not moving ones
        norm.train()
    rng = np.random.default_rng(recipe.seed)
    with torch.no_grad():
        for members in batches(train.labels, batch=recipe.batch, balance=recipe.balance, rng=rng):
            model(tensor(model, np.stack([train.draw(int(index), rng) for index in members])))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def choose(
    deployed: Classifier,
    new: Classifier,
    train: Samples,
    validation: Validation,
    recipe: Recipe,
    shares: Sequence[float] = SHARES,
    depth: int | None = None,
) -> Interpolated:
    """Return the network between two with the best validation AUC.

    Equal AUCs go to the smaller share: what is in use changes no more than the evidence asks. 0 and 1 are the two
    networks as they are; in between the statistics are estimated again, where no more than the last ``depth`` blocks
    learnt (None: all) theirs alone. Raises ValueError where the networks are not of one kind, a share is not in 0..1 or
    there is no such depth, OneClass where validation lacks a class.
    """
    if not shares or min(shares) < 0 or max(shares) > 1:
        raise ValueError(f"shares must be in 0..1, got {list(shares)}")
    models, tried = [], []
    for share in sorted(shares):
        between = interpolate(deployed, new, share)
        if 0 < share < 1:
            if depth is not None:
                freeze(between, depth)
            reestimate(between, train, recipe)
            if depth is not None:
                freeze(between, len(blocks(between)))  # nothing, from here on
        models.append(between)
        tried.append((share, macro_auc(validation[1], probabilities(between, validation[0]))))
    best = int(np.argmax([figure for _, figure in tried]))  # the first of equals
    return Interpolated(models[best], *tried[best], tuple(tried))
