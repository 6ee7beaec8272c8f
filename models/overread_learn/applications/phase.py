"""The learning parameters of one phase of an application's life, as in Table 3 of Zhou et al. (CVPR 2017)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from overread_learn.applications.values import number, table, whole

__all__ = ["PHASES", "Phase", "phases"]

PHASES = ("first", "later", "scratch", "later_diversity")
"""``first``: M0 becomes M1. ``later``: M(t-1) becomes M(t). ``scratch``: random weights, all labels.
``later_diversity``: ``later`` where diversity alone picks the candidates (the footnote of Table 3)."""


@dataclass(frozen=True)
class Phase:
    """Learning rates of trunk and head, the factor ``gamma`` that multiplies both each epoch, and the epochs.

    Raises ValueError on values that would train nothing.
    """

    rate: float
    head_rate: float
    gamma: float
    epochs: int

    def __post_init__(self) -> None:
        """Refuse what would only fail in training."""
        if not all(0 < value < math.inf for value in (self.rate, self.head_rate, self.gamma)):
            raise ValueError(f"rate, head_rate and gamma must be positive and finite, got {self}")
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self}")


_READERS: Mapping[str, Callable[[Any], Any]] = {"rate": number, "head_rate": number, "gamma": number, "epochs": whole}


def phases(given: Any) -> dict[str, Phase]:
    """Read the table ``{first = {rate, head_rate, gamma, epochs}, ...}``; any of `PHASES` may be absent.

    Raises ValueError on an unknown phase, on unknown or missing keys and on impossible values, TypeError on what is no
    table and on values of another type.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"a table only, got {given!r}")
    unknown = sorted(given.keys() - set(PHASES))
    if unknown:
        raise ValueError(f"unknown phases {unknown}; known are {', '.join(PHASES)}")
    return table(given, dict.fromkeys(PHASES, _phase))


def _phase(given: Any) -> Phase:
    if not isinstance(given, Mapping):
        raise TypeError(f"a table only, got {given!r}")
    if given.keys() != _READERS.keys():
        raise ValueError(f"needs exactly the keys {', '.join(_READERS)}, got {list(given)}")
    return Phase(**table(given, _READERS))
