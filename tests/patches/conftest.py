"""An application simple enough to reason about."""

from dataclasses import replace

import pytest

from overread_learn.applications import Application, Range, load


@pytest.fixture
def square() -> Application:
    """One source pixel is one patch pixel, nothing is scaled or shifted, and normalisation divides by 255 alone."""
    return replace(
        load("lung-nodule"),
        name="square",
        input_px=33,
        context=33.0,
        context_unit="px",
        scales=(1.0,),
        shifts=((0.0, 0.0),),
        normalisation=Range(0, 100),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
