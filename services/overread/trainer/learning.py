"""What a round does with its labels: fine-tune, hold on to what is in use, and keep the operating point.

The last two are safeguards that AIFT does not have. Weights between the champion's and the new ones often rank better
than either (WiSE-FT); and a temperature fitted on validation patients keeps a probability of .5 meaning the same from
version to version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from overread.config import Trainer
from overread_learn.evaluate.roc import macro_auc
from overread_learn.finetune import (
    EpochReport,
    OtherTraining,
    Recipe,
    Samples,
    Validation,
    choose,
    finetune,
    probabilities,
    recalibrated,
)
from overread_learn.nets import Classifier

log = logging.getLogger(__name__)

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the way from the champion to the new weights. Not 0: a challenger that is the champion has nothing to prove."""


class Learnt(NamedTuple):
    """The challenger, and how it came about."""

    model: Classifier
    auc_validation: float
    best_epoch: int
    share: float
    """Of the way from the champion's weights; 1 where nothing was interpolated."""
    temperature: float
    """By which its logits were divided; 1 where nothing was recalibrated."""


def learn(
    parent: Classifier,
    samples: Samples,
    validation: Validation,
    recipe: Recipe,
    settings: Trainer,
    *,
    deployed: bool,
    checkpoint: Path | None,
    on_epoch: Callable[[EpochReport], None],
) -> Learnt:
    """Train from the champion.

    It is `deployed` unless it is the untrained bootstrap, which has nothing to hold on to. A checkpoint of the same
    training is gone on from, bit for bit; another's is removed.

    Raises:
        ValueError, Diverged: as `overread_learn.finetune.finetune`.
    """
    if checkpoint:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        for other in checkpoint.parent.glob("*.pt"):
            if other != checkpoint:
                other.unlink()
    try:
        fitted = finetune(parent, samples, validation, recipe, on_epoch=on_epoch, checkpoint=checkpoint)
    except OtherTraining as error:  # pixels were purged since it was written
        log.warning("checkpoint put aside", extra={"reason": str(error)})
        if checkpoint:
            checkpoint.unlink()
        fitted = finetune(parent, samples, validation, recipe, on_epoch=on_epoch, checkpoint=checkpoint)
    model, figure, share, temperature = fitted.model, fitted.auc_validation, 1.0, 1.0
    if settings.interpolate and deployed:
        between = choose(parent, model, samples, validation, recipe, SHARES)
        model, figure, share = between.model, between.auc, between.share
    if settings.recalibrate:
        model, temperature = recalibrated(model, validation)
        # The mean over the patches is taken of probabilities: their order may change a little.
        figure = macro_auc(validation[1], probabilities(model, validation[0]))
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return Learnt(model, figure, fitted.best_epoch, share, temperature)
