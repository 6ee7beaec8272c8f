"""Learning parameters of a round, for the deployed trainer and for experiments alike."""

from overread_learn.applications import Application
from overread_learn.finetune.terms import Recipe

__all__ = ["RANDOM_START_RATE", "check_rates", "recipe"]

BATCH = 16
RANDOM_START_RATE = 1e-2
"""Of trunk and head alike, where the line of models began with random weights.

Measured: phantom CT (186 labels, validation AUC of two seeds), shufflenet_v2_x1_0 .969 and .982, squeezenet1_1 .92 and
.74; synthetic fundus photographs (400 labels, test AUC), squeezenet1_1 .904 and .943 at this rate against .812 at the
rates for pretrained weights, shufflenet_v2_x1_0 .821 and .893.
"""


def check_rates(rates: str, application: Application) -> None:
    """Raise ValueError where ``rates`` are not ``own`` or ``papers``, or the application has none of the papers'."""
    if rates not in {"own", "papers"}:
        raise ValueError(f"rates are own or papers, got {rates!r}")
    if rates == "papers" and not application.phases:
        raise ValueError(f"rates papers: application {application.name} has no [phases.first] and so on, as polyp has")


def recipe(
    application: Application,
    *,
    seed: int,
    random_start: bool = False,
    phase: str | None = None,
    epochs: int | None = None,
    batch: int = BATCH,
    balance: bool = True,
) -> Recipe:
    """Return the application's learning parameters; ``seed`` also fixes the order of the samples.

    Its own rates are for pretrained weights; a ``random_start`` takes larger ones. ``phase`` takes those of AIFT's
    Table 3 instead (`Application.phase`) where the application has them, ``epochs`` replaces any. ``balance`` draws the
    classes equally often.
    """
    own = application.phase(phase)
    stated = {phase, "later"} if phase == "later_diversity" else {phase}
    random = random_start and application.phases.keys().isdisjoint(stated)
    return Recipe(
        rate=RANDOM_START_RATE if random else own.rate,
        head_rate=RANDOM_START_RATE if random else own.head_rate,
        gamma=own.gamma,
        epochs=epochs or own.epochs,
        momentum=application.momentum,
        batch=batch,
        seed=seed,
        balance=balance,
    )
