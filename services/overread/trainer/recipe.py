"""How a round learns: by the application's rates, or the papers', or, where M0 began at random, by those of that.

A SqueezeNet has no normalisation layers and learnt unreliably from nothing on phantom CT: a random start takes another
network (`overread_learn.finetune.rates` has the figures; resnet18 gave .985 and .984 in 3.5 times the time).
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from overread.config import Trainer
from overread.trainer.tables import trainer_rounds
from overread_learn.acquisition import strategy
from overread_learn.applications import Application
from overread_learn.finetune import Recipe
from overread_learn.finetune import recipe as own

RANDOM = "random"
"""Origin of an M0 without pretrained weights."""
SCRATCH_ARCH = "shufflenet_v2_x1_0"


def began_at_random(tx: Connection) -> bool:
    """Return whether the line of models began with random weights."""
    start = tx.execute(select(trainer_rounds.c.reason).where(trainer_rounds.c.round == 0)).scalar()
    return start == f"start: {RANDOM}"


def phase(settings: Trainer, *, scratch: bool, first: bool) -> str | None:
    """Return the phase of AIFT's Table 3 by which a training learns; None where the application's own rates hold.

    `first`: it starts from M0, which `scratch` says began at random; the others go on from what a round has learnt.
    """
    if settings.rates == "own":
        return None
    return "scratch" if first and scratch else strategy(settings.strategy).phase(learnt=not first)


def recipe(application: Application, settings: Trainer, *, seed: int, scratch: bool, first: bool) -> Recipe:
    """Return the learning parameters of a training; `seed` also fixes the order of its samples."""
    stage = phase(settings, scratch=scratch, first=first)
    return own(application, seed=seed, random_start=scratch, phase=stage, epochs=settings.epochs)
