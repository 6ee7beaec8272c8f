"""How a round learns: by the application's rates, or, where M0 began with random weights, by those of a random start.

A SqueezeNet has no normalisation layers and learnt unreliably from nothing on phantom CT: a random start takes another
network (`overread_learn.finetune.rates` has the figures; resnet18 gave .985 and .984 in 3.5 times the time).
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from overread.config import Trainer
from overread.trainer.tables import trainer_rounds
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


def recipe(application: Application, settings: Trainer, *, seed: int, scratch: bool) -> Recipe:
    """Return the learning parameters of a round; `seed` also fixes the order of its samples."""
    return own(application, seed=seed, random_start=scratch, epochs=settings.epochs)
