"""M0: an ImageNet network with a new head. It has never seen a label, so it is never cleared."""

from __future__ import annotations

import logging
from typing import NamedTuple

from overread.config import Trainer
from overread.core.errors import Misconfigured
from overread.trainer.recipe import RANDOM, SCRATCH_ARCH
from overread_learn.nets import Classifier, WeightsUnavailable, build

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """The network and where its weights came from: `file:…`, `imagenet` or `random`."""

    model: Classifier
    origin: str


def start(settings: Trainer, classes: int) -> Start:
    """Build M0 from the weights' file, else by torchvision's download (10 s at most), else at random, saying so.

    Raises:
        Misconfigured: the file is absent, or is of another network.
    """
    if settings.weights is not None:
        try:
            model = build(settings.arch, classes, settings.weights, settings.seed)
        except (ValueError, OSError) as error:
            raise Misconfigured(f"trainer.weights: {error}") from error
        return Start(model, f"file:{settings.weights.name}")
    try:
        return Start(build(settings.arch, classes, "imagenet", settings.seed), "imagenet")
    except WeightsUnavailable as error:
        log.warning("random start: no ImageNet weights", extra={"arch": SCRATCH_ARCH, "reason": str(error)})
        return Start(build(SCRATCH_ARCH, classes, None, settings.seed), RANDOM)
    except ValueError as error:
        raise Misconfigured(f"trainer.arch: {error}") from error
