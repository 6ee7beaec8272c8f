"""Whether an image's numbers are in the units of the window that is to stretch them; who clips others sees nothing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Window

__all__ = ["WHITE", "refuse_misfit"]

WHITE = 255.0
NEXT_TO_NOTHING = 2.0
"""Grey levels of 0..255 from the darkest pixel to the brightest: of the lung window 11 HU, less than a CT's noise."""


def refuse_misfit(image: NDArray[Any], window: Window) -> None:
    """Refuse an image whose numbers are in other units than the window's.

    A window clips on purpose: a slice of air is black in a lung window, and stays so. What tells other units is

    - a value outside 0..255 where that is the window: it takes the eight-bit scale as it is, and clips nothing;
    - a type without a sign, of more than 8 bits, where the window begins below 0: it can hold no HU;
    - contrast, of which the window leaves next to nothing: all is white, or all is one grey (0..1, -1..1). All black is
      background, but in floats of 0..1. What clips within the eight-bit scale, does so on purpose too.

    Raises ValueError, which names the range found and the window.
    """
    if image.dtype == np.uint8:  # the scale of a picture; `prepare` says what becomes of it
        return
    least, most = float(image.min()), float(image.max())
    low, high = window.low, window.high
    found = f"the image holds {least:g}..{most:g} ({image.dtype.name}), and the window is {low:g}..{high:g}"
    if (low, high) == (0, WHITE) and not low <= least <= most <= high:
        raise ValueError(f"{found}: bring the image to eight bits by its stored depth first")
    if image.dtype.kind == "u" and low < 0:
        raise ValueError(f"{found}: numbers without a sign hold nothing below 0; give signed ones in its units (HU)")
    darkest, brightest = np.clip((np.array([least, most]) - low) * (WHITE / (high - low)), 0, WHITE)
    if least == most or brightest - darkest > NEXT_TO_NOTHING:
        return
    of_one = image.dtype.kind == "f" and least >= 0 and most <= 1 and WHITE / (high - low) <= NEXT_TO_NOTHING
    black = brightest <= NEXT_TO_NOTHING
    eight_bits = min(low, least) >= 0 and max(high, most) <= WHITE
    if of_one or not (black or eight_bits):
        raise ValueError(
            f"{found}, which leaves {brightest - darkest:.2g} of 255 grey levels: bring the image to the window's units"
        )
