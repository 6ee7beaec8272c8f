"""What each application of plane images cuts from an image whose patches are known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.applications import Application, load
from overread_learn.patches import augment, cut, prepare
from overread_learn.patches.variants import variants

PLANE = ["carotid-imt", "colonoscopy-frame", "fundus-microaneurysm", "histopathology", "lung-nodule", "polyp"]
SMALL = [name for name in PLANE if name != "carotid-imt"]


def dot(shape: tuple[int, int], x: float, y: float, sigma: float, height: float = 180.0) -> NDArray[np.uint8]:
    down, right = np.mgrid[: shape[0], : shape[1]]
    levels = 30 + height * np.exp(-((right - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))
    return np.rint(levels).astype(np.uint8)


def middle(patch: NDArray[np.float32]) -> tuple[float, float]:
    """Return the bright spot's place, right and down of the patch's centre, in fractions of the patch."""
    weight = np.maximum(patch[0] - (patch[0].min() + patch[0].max()) / 2, 0).astype(float)
    size = len(weight)
    row, column = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    return float((column * weight).sum() / weight.sum()), float((row * weight).sum() / weight.sum())


def spread(patch: NDArray[np.float32]) -> float:
    """Return the spot's radius at half height, in fractions of the patch."""
    levels = patch[0].astype(float)
    return float(np.sqrt((levels > (levels.min() + levels.max()) / 2).mean() / np.pi))


@pytest.mark.parametrize(
    ("name", "count", "side"),
    [
        ("carotid-imt", 6, 64),
        ("colonoscopy-frame", 21, 80),
        ("fundus-microaneurysm", 8, 64),
        ("histopathology", 8, 64),
        ("lung-nodule", 8, 64),
        ("polyp", 120, 80),
    ],
)
def test_counts_and_shapes(name: str, count: int, side: int) -> None:
    application = load(name)
    noise = np.random.default_rng(0).integers(0, 256, (260, 300, 3), dtype=np.uint8)
    patches = cut(prepare(noise, application), 150, 120, application)
    assert patches.shape == (count, 3, side, side)
    assert patches.dtype == np.float32
    assert len({patch.tobytes() for patch in patches}) == count
    assert len(set(variants(application))) == count


@pytest.mark.parametrize("name", [*PLANE, "pulmonary-embolism"])
def test_every_scale_shift_and_pose_occurs(name: str) -> None:
    application = load(name)
    first, *others = variants(application)
    assert first == (0, 0, 0)
    counts = (len(application.scales), len(application.shifts), application.poses)
    for values, count in zip(zip(first, *others, strict=True), counts, strict=True):
        assert set(values) == set(range(count))


@pytest.mark.parametrize("name", PLANE)
def test_a_dot_is_in_the_centre_of_every_patch_but_for_its_shift(name: str) -> None:
    application = load(name)
    prepared = prepare(dot((300, 340), 171, 148, 3), application)
    for patch, variant in zip(cut(prepared, 171, 148, application), variants(application), strict=True):
        shift = np.round(np.array(application.shifts[variant.shift]) * application.input_px) / application.input_px
        # Mirrored and transposed, the shift is still as far away.
        expected = sorted(np.abs(shift))
        assert sorted(np.abs(middle(patch))) == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("name", PLANE)
def test_the_centre_is_where_the_unshifted_fundus_dot_is(name: str) -> None:
    application = replace(load(name), shifts=((0.0, 0.0),), patches=2)
    prepared = prepare(dot((300, 340), 171, 148, 3), application)
    for patch in cut(prepared, 171, 148, application):
        assert middle(patch) == pytest.approx((0, 0), abs=0.003)


def test_polyp_sizes_are_1_and_1_2_and_1_5_of_the_box() -> None:
    application = replace(load("polyp"), input_px=240)
    prepared = prepare(dot((1000, 1100), 550, 500, 40), application)
    patches = cut(prepared, 550, 500, application)
    found = {scale: [] for scale in application.scales}  # type: dict[float, list[float]]
    for patch, variant in zip(patches, variants(application), strict=True):
        found[application.scales[variant.scale]].append(spread(patch))
    assert {scale: len(sizes) for scale, sizes in found.items()} == {1.0: 40, 1.2: 40, 1.5: 40}
    # The box is .3 of the shorter side; half height is at 1.1774 sigma.
    for scale, sizes in found.items():
        assert sizes == pytest.approx([1.1774 * 40 / (300 * scale)] * 40, rel=0.01)


def test_polyp_shifts_are_a_tenth_of_the_resized_box_in_each_direction_and_variant() -> None:
    application = load("polyp")
    prepared = prepare(dot((1000, 1100), 550, 500, 12), application)
    seen = set()
    for patch, variant in zip(cut(prepared, 550, 500, application), variants(application), strict=True):
        right, down = (round(part, 2) + 0 for part in middle(patch))
        assert sorted((abs(right), abs(down))) in ([0, 0], [0, 0.1])
        seen.add((variant.scale, variant.pose, right, down))
    assert len(seen) == 120


def test_colonoscopy_takes_the_whole_frame_or_a_point_of_it() -> None:
    application = load("colonoscopy-frame")
    prepared = prepare(dot((400, 480), 239.5, 199.5, 30), application)
    whole = cut(prepared, None, None, application)
    assert np.array_equal(whole, cut(prepared, 239.5, 199.5, application))
    # The first patch is the frame's shorter side.
    assert spread(whole[0]) == pytest.approx(1.1774 * 30 / 400, rel=0.03)
    aside = cut(prepared, 279.5, 199.5, application)
    assert middle(aside[0]) == pytest.approx((-0.1, 0), abs=0.003)
    # A frame of twice the size looks the same.
    large = prepare(dot((800, 960), 479.5, 399.5, 60), application)
    assert np.abs(cut(large, None, None, application) - whole).max() < 0.06


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(128, 128), (5, 5), (1, 1), (3, 200), (5, 5, 3)])
def test_small_eight_bit_images_without_a_spacing(name: str, shape: tuple[int, ...]) -> None:
    application = load(name)
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    prepared = prepare(image, application)
    for x, y in ((None, None), (0, 0), (shape[1] - 1, shape[0] - 1)):
        patches = cut(prepared, x, y, application)
        assert patches.shape[0] == application.patches
        assert np.isfinite(patches).all()
        assert np.isfinite(augment(prepared, x, y, application, np.random.default_rng(0))).all()


@pytest.mark.parametrize("shape", [(128, 128), (5, 5), (1, 7), (2, 40)])
def test_small_images_are_reflected_as_numpy_pads(square: Application, shape: tuple[int, int]) -> None:
    application = replace(square, input_px=201, context=201.0, patches=1)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image.flat[:2] = 0, 255  # the range is all of 0..255
    x, y = shape[1] // 2, shape[0] // 2
    padded = np.pad(image, 100, mode="reflect")[y : y + 201, x : x + 201]
    patch = cut(prepare(image, application), x, y, application)[0]
    assert np.abs(patch * 255 - padded).max() < 0.01


def test_a_known_spacing_goes_before_context_px() -> None:
    application = load("histopathology")
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    prepared = prepare(noise, application)
    # .048 mm at half a micrometre are the 96 pixels of tiles without a spacing.
    assert np.allclose(cut(prepared, 150, 150, application), cut(prepared, 150, 150, application, 0.0005), atol=1e-4)
    assert not np.allclose(cut(prepared, 150, 150, application), cut(prepared, 150, 150, application, 0.001), atol=0.1)


def test_a_spacing_that_would_take_all_memory_is_refused() -> None:
    application = load("histopathology")
    prepared = prepare(np.zeros((30, 30), np.uint8), application)
    with pytest.raises(ValueError, match=r"is 48000 pixels wide, more than 16384 \(pixel spacing in mm: 1e-06"):
        cut(prepared, 15, 15, application, 1e-6)


def test_half_a_point_is_refused(square: Application) -> None:
    with pytest.raises(ValueError, match="both x and y, or neither"):
        cut(prepare(np.eye(9), square), 3, None, square)


def test_histopathology_keeps_colours_and_shows_each_symmetry_once() -> None:
    application = replace(load("histopathology"), shifts=((0.0, 0.0),))
    tissue = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    first, *others = cut(prepare(tissue, application), 100, 100, application)
    turned = [np.rot90(first, turn, axes=(1, 2)) for turn in range(4)]
    expected = {view.tobytes() for patch in turned for view in (patch, patch[:, :, ::-1])}
    assert {patch.tobytes() for patch in (first, *others)} == expected
    pink = np.full((200, 200, 3), (230, 150, 190), dtype=np.uint8)
    levels = cut(prepare(pink, application), 100, 100, application)[0, :, 5, 5] * application.std + application.mean
    assert levels * 255 == pytest.approx([230, 150, 190], abs=0.1)


def test_stains_vary_in_training_and_white_stays_white() -> None:
    application = load("histopathology")
    colours = np.full((200, 200, 3), (230, 150, 190), dtype=np.uint8)
    white = np.full_like(colours, 255)
    density = []
    for seed in range(50):
        patch = augment(prepare(colours, application), 100, 100, application, np.random.default_rng(seed))
        level = patch[:, 5, 5].astype(float) * application.std + application.mean
        density.append(np.log(level) / np.log(np.array([230, 150, 190]) / 255))
        blank = augment(prepare(white, application), 100, 100, application, np.random.default_rng(seed))
        assert blank[:, 5, 5] * application.std + application.mean == pytest.approx([1, 1, 1], abs=1e-5)
    factors = np.log(density)
    assert -0.2001 <= factors.min() < -0.17
    assert 0.17 < factors.max() <= 0.2001
    # Each channel varies by itself.
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.5


def test_a_carotid_wall_is_never_upside_down_nor_turned() -> None:
    application = load("carotid-imt")
    steps = np.repeat(np.arange(60)[:, None] * 4, 80, axis=1).astype(np.uint8)
    prepared = prepare(steps, application)
    drawn = [augment(prepared, 40, 30, application, np.random.default_rng(seed)) for seed in range(20)]
    for patch in (*cut(prepared, 40, 30, application), *drawn):
        assert (np.diff(patch[0], axis=0) >= -1e-5).all()
        assert np.abs(np.diff(patch[0], axis=1)).max() < 1e-5
        assert patch[0, 31:33].mean() == pytest.approx(patch[0].mean(), abs=0.02)  # nor is it moved up or down


def test_carotid_patches_are_mirrored_from_left_to_right() -> None:
    application = load("carotid-imt")
    prepared = prepare(dot((60, 80), 45, 30, 3), application)
    sides = [middle(augment(prepared, 40, 30, application, np.random.default_rng(seed)))[0] for seed in range(40)]
    assert 8 < sum(side > 0 for side in sides) < 32


def test_eight_bit_images_hold_no_hu() -> None:
    application = load("lung-nodule")
    image = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    prepared = prepare(image, application)
    assert np.array_equal(prepared.pixels, np.stack([image] * 3, axis=2))
    assert np.array_equal(prepare(image[..., None].repeat(3, axis=2)[..., ::-1], application).pixels, prepared.pixels)
    # A window within 0..255 says what to do with them.
    narrow = replace(application, normalisation=replace(application.normalisation, low=100.0, high=200.0))
    assert np.allclose(prepare(image, narrow).pixels[..., 0], np.clip((image - 100.0) * 2.55, 0, 255))


def test_slices_in_two_and_a_half_dimensions_keep_their_order() -> None:
    application = load("lung-nodule")
    stack = np.stack([np.full((60, 60), hu) for hu in (-1000, -300, 400)], axis=2).astype(np.float32)
    patch = cut(prepare(stack, application), 30, 30, application, 0.7)[0]
    levels = patch[:, 10, 10] * application.std + application.mean
    assert levels == pytest.approx([0, 0.5, 1], abs=1e-5)
