from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from overread_learn.applications import Application, Background, load
from overread_learn.patches import Prepared, cut, prepare
from overread_learn.patches.cut import symmetric


def blob(shape: tuple[int, int], x: float, y: float, sigma: float) -> NDArray[np.float64]:
    down, right = np.mgrid[: shape[0], : shape[1]]
    return 200 * np.exp(-((right - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))


def centroid(patch: NDArray[np.float32]) -> tuple[float, float]:
    weight = patch[0] - patch[0].min()
    weight[weight < 0.2 * weight.max()] = 0
    down, right = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return float((right * weight).sum() / weight.sum()), float((down * weight).sum() / weight.sum())


def sampled(prepared: Prepared, x: float, y: float, side: float, size: int) -> NDArray[np.float64]:
    """An upright, unscaled patch by SciPy, (size, size, 3)."""
    steps = (np.arange(size) - (size - 1) / 2) * side / size
    down, right = np.meshgrid(y + steps, x + steps, indexing="ij")
    planes = [
        map_coordinates(prepared.pixels[..., c].astype(float), [down, right], order=1, mode="mirror") for c in range(3)
    ]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize("name", ["lung-nodule", "fundus-microaneurysm"])
def test_a_dot_lands_in_the_centre(name: str) -> None:
    application = load(name)
    image = blob((301, 403), 187, 94, 7) - (1000 if name == "lung-nodule" else 0)
    patches = cut(prepare(image, application), 187, 94, application, spacing_mm=0.5)
    assert patches.shape == (8, 3, 64, 64)
    assert patches.dtype == np.float32
    # Half a source pixel would be .4 of a patch pixel here.
    assert centroid(patches[0]) == pytest.approx((31.5, 31.5), abs=0.05)


def test_first_patch_is_upright_and_samples_what_scipy_samples() -> None:
    application = load("fundus-microaneurysm")
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    prepared = Prepared(pixels, 0.5)
    patch = cut(prepared, 201.0, 150.0, application)[0]
    expected = (sampled(prepared, 100.25, 74.75, 40, 64) / 255 - application.mean) / application.std
    assert np.abs(np.moveaxis(patch, 0, 2) - expected).max() < 1e-3


@pytest.mark.parametrize(("x", "y"), [(0, 0), (299, 199), (3, 100), (-0.5, 199.5)])
def test_border_is_reflected(plain: Application, x: float, y: float) -> None:
    prepared = Prepared(np.random.default_rng(0).random((200, 300, 3), dtype=np.float32) * 255, 1.0)
    patch = cut(prepared, x, y, plain)[0]
    assert np.abs(np.moveaxis(patch, 0, 2) * 255 - sampled(prepared, x, y, 32, 32)).max() < 0.02


def test_padding_to_whole_blocks_is_no_part_of_the_image() -> None:
    application = replace(load("fundus-microaneurysm"), normalisation=Background(sigma=12, gain=4, downscale=8))
    image = np.random.default_rng(0).integers(0, 256, (50, 67), dtype=np.uint8)
    prepared = prepare(image, application)
    assert (prepared.pixels.shape, prepared.padding) == ((7, 9, 3), (6, 5))
    assert np.array_equal(cut(prepared, None, None, application), cut(prepared, 33.0, 24.5, application))
    assert cut(prepared, 66.5, 49.5, application).any()
    for x, y in ((67, 20), (20, 50)):
        with pytest.raises(ValueError, match=f"point \\({x}, {y}\\) lies outside the image of 67 x 50 pixels"):
            cut(prepared, x, y, application)
    half = replace(application, context=0.5, context_unit="image")
    assert np.array_equal(cut(prepared, 30, 20, half), cut(prepared, 30, 20, replace(application, context=25.0)))


def test_an_image_smaller_than_its_patch_is_reflected_again_and_again(plain: Application) -> None:
    prepared = Prepared(np.random.default_rng(0).random((5, 7, 3), dtype=np.float32) * 255, 1.0)
    patch = cut(prepared, 3, 2, plain)[0]
    assert np.abs(np.moveaxis(patch, 0, 2) * 255 - sampled(prepared, 3, 2, 32, 32)).max() < 0.02


def test_eight_symmetries_are_different_and_exact(plain: Application) -> None:
    prepared = Prepared(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8), 1.0)
    first, *others = cut(prepared, 40, 40, plain)
    turned = [np.rot90(first, turn, axes=(1, 2)) for turn in range(4)]
    expected = {view.tobytes() for patch in turned for view in (patch, patch[:, :, ::-1])}
    assert len(expected) == 8
    assert {patch.tobytes() for patch in (first, *others)} == expected


def test_scales_and_shifts_walk_together() -> None:
    application = replace(load("fundus-microaneurysm"), patches=120)
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    assert len({patch.tobytes() for patch in cut(prepare(noise, application), 200, 200, application)}) == 120
    patches = cut(prepare(blob((400, 400), 200, 200, 6), application), 200, 200, application)
    # Whichever way a variant turns, the dot is where one of the shifts, of 3 patch pixels, has put it.
    places = {tuple(round(part - 31.5) for part in centroid(patch)) for patch in patches}
    assert places == {(0, 0), (3, 0), (-3, 0), (0, 3), (0, -3)}


def test_a_shift_moves_the_square_and_not_its_content(plain: Application) -> None:
    application = replace(plain, shifts=((0.25, 0.0),), patches=1)
    prepared = prepare(blob((80, 80), 40, 40, 2), application)
    assert centroid(cut(prepared, 40, 40, application)[0]) == pytest.approx((15.5 - 8, 15.5), abs=0.05)


def test_a_larger_scale_sees_more(plain: Application) -> None:
    prepared = prepare(blob((120, 120), 60, 60, 4), plain)

    def area(scale: float) -> int:
        patch = cut(prepared, 60, 60, replace(plain, scales=(scale,)))[0, 0]
        return int((patch > patch.max() / 2).sum())

    assert area(0.5) / area(1.0) == pytest.approx(4, rel=0.1)


def test_wide_contexts_are_averaged_rather_than_aliased(plain: Application) -> None:
    down, right = np.mgrid[:300, :300]
    checkers = Prepared(np.repeat(((down + right) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2), 1.0)
    patch = cut(checkers, 150, 150, replace(plain, context=128.0))[0]
    assert np.abs(patch - 0.5).max() < 0.02


def test_millimetres_follow_the_spacing() -> None:
    application = load("lung-nodule")
    coarse = blob((200, 200), 100, 100, 5) - 1000
    fine = blob((400, 400), 200.5, 200.5, 10) - 1000
    one = cut(prepare(coarse, application), 100, 100, application, spacing_mm=0.8)
    two = cut(prepare(fine, application), 200.5, 200.5, application, spacing_mm=0.4)
    assert np.abs(one - two).max() < 0.02


@pytest.mark.parametrize("point", [(-0.51, 10), (10, 100), (120.0, 10), (np.nan, 10), (10, np.inf)])
def test_points_outside_are_refused(plain: Application, point: tuple[float, float]) -> None:
    prepared = prepare(np.eye(100, 120), plain)
    with pytest.raises(ValueError, match=r"lies outside the image of 120 x 100 pixels"):
        cut(prepared, *point, plain)


@pytest.mark.parametrize(
    ("spacing", "complaint"), [(None, "spacing is needed"), (0.0, "positive"), (np.nan, "positive")]
)
def test_spacing_is_needed_for_millimetres(spacing: float | None, complaint: str) -> None:
    application = replace(load("lung-nodule"), context_px=None)
    with pytest.raises(ValueError, match=complaint):
        cut(prepare(np.eye(100, dtype=np.uint8), application), 50, 50, application, spacing)


def test_symmetric_names_its_bits() -> None:
    planes = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    assert symmetric(planes, 1).tolist() == [[[1, 0], [3, 2]]]
    assert symmetric(planes, 2).tolist() == [[[2, 3], [0, 1]]]
    assert symmetric(planes, 4).tolist() == [[[0, 2], [1, 3]]]
