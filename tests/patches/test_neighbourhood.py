from dataclasses import replace

import numpy as np
import pytest

from overread_learn.applications import load
from overread_learn.patches import augment, cut, neighbourhood, prepare

PLANE = ["carotid-imt", "colonoscopy-frame", "fundus-microaneurysm", "histopathology", "lung-nodule", "polyp"]


@pytest.mark.parametrize("name", PLANE)
@pytest.mark.parametrize("point", [(300, 250), (2.25, 3), (None, None), (598, 250.5)])
def test_the_piece_gives_the_patches_of_the_image(name: str, point: tuple[float | None, float | None]) -> None:
    application = load(name)
    noise = np.random.default_rng(0).integers(0, 256, (500, 600, 3), dtype=np.uint8)
    prepared = prepare(noise, application)
    piece, x, y = neighbourhood(prepared, *point, application)
    assert np.allclose(cut(prepared, *point, application), cut(piece, x, y, application), atol=1e-4)
    for seed in range(4):
        image, kept = (np.random.default_rng(seed) for _ in range(2))
        assert np.allclose(
            augment(prepared, *point, application, image), augment(piece, x, y, application, kept), atol=1e-4
        )


def test_a_piece_is_small_and_its_own() -> None:
    application = load("lung-nodule")
    prepared = prepare(np.zeros((500, 600), np.int16), application)
    piece, _, _ = neighbourhood(prepared, 300, 250, application, 0.7)
    side = 36 / 0.7 * 1.1
    assert side * 2**0.5 < piece.pixels.shape[0] < side * 2**0.5 + 20
    assert not np.shares_memory(piece.pixels, prepared.pixels)
    # A share of the image needs the image: nothing is copied.
    frame = prepare(np.zeros((500, 600, 3), np.uint8), load("polyp"))
    assert neighbourhood(frame, 300, 250, load("polyp"))[0] is frame


def test_errors_are_those_of_cut() -> None:
    application = replace(load("lung-nodule"), context_px=None)
    prepared = prepare(np.eye(50, dtype=np.uint8), application)
    with pytest.raises(
        ValueError, match="spacing is needed; for images without one, give the application a context_px"
    ):
        neighbourhood(prepared, 20, 20, application)
    with pytest.raises(ValueError, match="outside"):
        neighbourhood(prepared, 50, 20, application, 1.0)
