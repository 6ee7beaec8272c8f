"""The strategy that a house chooses by: whether it can, and what it needs of other rooms."""

from __future__ import annotations

from overread.config import Trainer
from overread.core.errors import Misconfigured
from overread_learn.acquisition import Strategy, strategy
from overread_learn.acquisition.representatives import LOOK_AT_LABELLED


def check(settings: Trainer) -> Strategy:
    """Return the strategy, unless there is none of its name, or none that a network in service can learn by.

    Raises:
        Misconfigured: naming the setting, and what to write.
    """
    try:
        chosen = strategy(settings.strategy)
    except ValueError as error:
        raise Misconfigured(f"trainer.strategy: {error}") from error
    if chosen.restart or (chosen.cold and strategy(chosen.cold).restart):
        raise Misconfigured(
            f"trainer.strategy: {settings.strategy} begins each round with random weights, to compare with in "
            "`overread-learn labels`; the deployed network goes on from what it knows. Its picks are those of random: "
            f"write trainer.strategy={settings.strategy.replace('scratch', 'random')}"
        )
    return chosen


def keeps_away(settings: Trainer) -> bool:
    """Whether the strategy keeps away from what is labelled: then every champion has to embed that, too.

    A cold start that does is over before a round has made another champion: no round learns from labels of one class.
    """
    try:
        return strategy(settings.strategy).draw in LOOK_AT_LABELLED
    except ValueError:
        return False  # the trainer's rooms refuse to start; that is no reason for others to
