"""How a round learns: by the application's rates, or, where M0 began with random weights, by those of a scratch start.

A SqueezeNet has no normalisation layers and learns little from nothing at the rates that suit a pretrained one. So a
random start takes another network and another rate. Measured on phantom CT (186 labels, 24 epochs, 1e-2, validation AUC
of two seeds): squeezenet1_1 .92 and .74, resnet18 .985 and .984 in 85 s, shufflenet_v2_x1_0 .969 and .982 in 24 s.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from overread.config import Trainer
from overread.trainer.tables import trainer_rounds
from overread_learn.applications import Application
from overread_learn.finetune import Recipe

RANDOM = "random"
"""Origin of an M0 without pretrained weights."""
SCRATCH_ARCH = "shufflenet_v2_x1_0"
SCRATCH_RATE = 1e-2
BATCH = 16


def began_at_random(tx: Connection) -> bool:
    """Return whether the line of models began with random weights."""
    start = tx.execute(select(trainer_rounds.c.reason).where(trainer_rounds.c.round == 0)).scalar()
    return start == f"start: {RANDOM}"


def recipe(application: Application, settings: Trainer, *, seed: int, scratch: bool) -> Recipe:
    """Return the learning parameters of a round; `seed` also fixes the order of its samples."""
    return Recipe(
        rate=SCRATCH_RATE if scratch else application.rate,
        head_rate=SCRATCH_RATE if scratch else application.head_rate,
        gamma=application.gamma,
        epochs=settings.epochs or application.epochs,
        momentum=application.momentum,
        batch=BATCH,
        seed=seed,
        balance=True,
    )
