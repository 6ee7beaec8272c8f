"""What several tests of the science need: applications small enough to reason about, and one exported network."""

from dataclasses import replace
from pathlib import Path

import pytest

from overread_learn.applications import Application, Range, load


@pytest.fixture
def plain() -> Application:
    """One source pixel is one patch pixel, nothing is scaled or shifted, and normalisation divides by 255 alone."""
    return replace(
        load("lung-nodule"),
        name="plain",
        input_px=32,
        context=32.0,
        context_unit="px",
        scales=(1.0,),
        shifts=((0.0, 0.0),),
        normalisation=Range(0, 100),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An untrained network as inference would get it, and its digest."""
    from overread_learn.export import export  # noqa: PLC0415 - torch loads only for the tests that need it
    from overread_learn.nets import build  # noqa: PLC0415

    path = tmp_path_factory.mktemp("model") / "model.onnx"
    application = replace(load("lung-nodule"), input_px=32)
    digest = export(build("squeezenet1_1", 2, None, seed=3), application, path, extra={"parent": "none"})
    return path, digest
