"""CT phantoms: lungs with vessels that look round where they cross a slice, and nodules that end above and below.

That is the difficulty on purpose: on the key slice alone a vessel in cross-section and a small nodule are the same
bright disc, and a detector of round things ranks them much alike. The slices beside it tell them apart. Nothing here
resembles a patient closely enough to train anything for one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.simulation.ct import Scanner, uid, write
from overread.simulation.tissue import Nodule, grow_nodules, grow_vessels

LUNG, WALL, AIR = -860.0, 20.0, -1000.0
"""HU."""

SCANNERS = (
    Scanner("Simulata", "Helix 16", "B30f", noise=28.0, blur=0.75, matrix=256, spacing=0.78, gap=2.5, intercept=-1024),
    Scanner("Phantasma", "Orbit 64", "LUNG", noise=42.0, blur=0.5, matrix=256, spacing=0.70, gap=2.0, intercept=-1024),
    Scanner("Imago", "Torus One", "STD", noise=22.0, blur=0.95, matrix=224, spacing=0.86, gap=3.0, intercept=-8192),
)
TWICE = 0.2
"""Share of patients with a second study."""


class Lesion(NamedTuple):
    """A nodule on one slice: a row of truth.csv."""

    slice: int
    x: float
    y: float
    radius_px: float
    lesion: int


def generate(
    out: Path,
    *,
    studies: int,
    seed: int,
    prevalence: float = 0.9,
    nodules: tuple[int, int] = (3, 8),
    on_progress: Callable[[], None] = lambda: None,
) -> Path:
    """Write CT studies, one folder each, and truth.csv; the same arguments give the same bytes.

    Args:
        out: the folder; made where it is not.
        studies: how many; one patient in five has two.
        seed: of everything, the UIDs too.
        prevalence: share of studies with nodules.
        nodules: least and most number of them in such a study.
        on_progress: called after each study.

    Returns:
        truth.csv: `study_uid, sop_uid, frame, x, y, radius_px, label, lesion`, a row for each slice that a nodule
        touches; x and y in pixel centres, `lesion` counts the nodules of a study. A study without any has one row of
        label 0.
    """
    out.mkdir(parents=True, exist_ok=True)
    truth = out / "truth.csv"
    patient, again = 0, False
    with truth.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("study_uid", "sop_uid", "frame", "x", "y", "radius_px", "label", "lesion"))
        for index in range(studies):
            random = np.random.default_rng((seed, index))
            again = index > 0 and not again and random.random() < TWICE
            patient += not again
            scanner = SCANNERS[int(random.integers(len(SCANNERS)))]
            volume, lesions = _study(random, scanner, prevalence, nodules)
            names = write(
                out / f"study-{index:04d}", volume, scanner, f"PHANTOM-{patient:04d}", (f"phantoms-{seed}", str(index))
            )
            study_uid = uid(f"phantoms-{seed}", str(index), "study")
            for lesion in lesions:
                place = (f"{lesion.x:.2f}", f"{lesion.y:.2f}", f"{lesion.radius_px:.2f}")
                table.writerow((study_uid, names[lesion.slice], 0, *place, 1, lesion.lesion))
            if (
                not lesions
            ):  # a row that says "looked at, and none": a study that the truth names is one that can be read
                table.writerow((study_uid, names[0], 0, 0, 0, 1, 0, ""))
            on_progress()
    return truth


def _study(
    random: np.random.Generator, scanner: Scanner, prevalence: float, nodules: tuple[int, int]
) -> tuple[NDArray[np.float32], list[Lesion]]:
    """Return (S, H, W) HU and what is in it."""
    slices = int(random.integers(16, 25))
    shape = (slices, scanner.matrix, scanner.matrix)
    lungs = _lungs(random, shape)
    tissue = np.zeros(shape, np.float32)
    for tree in range(int(random.integers(3, 6))):
        grow_vessels(random, tissue, lungs, scanner, side=tree % 2)
    count = int(random.integers(nodules[0], nodules[1] + 1)) if random.random() < prevalence else 0
    found = grow_nodules(random, tissue, lungs, scanner, count)
    # Tissue replaces lung: where two overlap the denser one is seen.
    inside = cv2.blur(_planes(lungs.astype(np.float32)), (3, 3))
    volume = _texture(random, shape) + LUNG + tissue
    volume = volume * _stacked(inside, shape) + WALL * (1 - _stacked(inside, shape))
    _body(random, volume)
    for plane in volume:
        blurred = cv2.GaussianBlur(plane, (0, 0), scanner.blur)
        grain = random.standard_normal(plane.shape, np.float32)
        # Reconstruction leaves noise with a grain of its own, not white noise.
        grain = grain - 0.6 * cv2.GaussianBlur(grain, (0, 0), 1.2)
        plane[:] = blurred + scanner.noise * grain
    return volume, _lesions(found, scanner, slices)


def _planes(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, H, W) as one tall image, so that OpenCV filters all slices in one call."""
    return volume.reshape(-1, volume.shape[-1])


def _stacked(planes: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    return planes.reshape(shape)


def _lungs(random: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Two ellipses a slice that widen slowly downwards."""
    slices, height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    lungs = np.zeros(shape, bool)
    wide, tall = random.uniform(0.17, 0.20), random.uniform(0.29, 0.34)
    growth = random.uniform(-0.08, 0.12)
    for z in range(slices):
        scale = 1 + growth * (z / slices - 0.5)
        for side in (0.27, 0.73):
            across = (x / width - side) / (wide * scale)
            down = (y / height - 0.5) / (tall * scale)
            lungs[z] |= across**2 + down**2 < 1
    return lungs


def _body(random: np.random.Generator, volume: NDArray[np.float32]) -> None:
    """Air around the trunk, and ribs: dense spots in the wall that a detector should not fall for."""
    _, height, width = volume.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    outside = ((x / width - 0.5) / 0.49) ** 2 + ((y / height - 0.5) / 0.44) ** 2 > 1
    for place in random.uniform(0, 2 * np.pi, 10):
        rib_x, rib_y = width * (0.5 + 0.47 * np.cos(place)), height * (0.5 + 0.42 * np.sin(place))
        for z, plane in enumerate(volume):
            shift = 0.8 * z * np.sign(np.cos(place))
            cv2.ellipse(
                plane, (round(rib_x), round(rib_y + shift)), (7, 4), float(np.degrees(place)) + 90, 0, 360, 500.0, -1
            )
    volume[:, outside] = AIR


def _texture(random: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Parenchyma: smooth clouds of some 45 HU in all three directions."""
    slices, height, width = shape
    coarse = random.standard_normal((slices // 3 + 2, height // 8 + 1, width // 8 + 1)).astype(np.float32)
    planes = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in coarse])
    place = np.linspace(0, len(planes) - 1.001, slices)
    below, part = place.astype(int), (place % 1).astype(np.float32)[:, None, None]
    return 45.0 * (planes[below] * (1 - part) + planes[below + 1] * part)  # type: ignore[no-any-return]


def _lesions(nodules: list[Nodule], scanner: Scanner, slices: int) -> list[Lesion]:
    """Return a row for each slice whose centre lies in a nodule, with the radius of the cut."""
    rows = []
    for number, nodule in enumerate(nodules, 1):
        middle = round(nodule.z / scanner.gap)
        for index in range(slices):
            squared = nodule.radius**2 - (index * scanner.gap - nodule.z) ** 2
            if squared <= 0 and index != middle:
                continue
            cut = max(np.sqrt(max(squared, 0.0)), 1.0) / scanner.spacing
            rows.append(Lesion(index, nodule.x / scanner.spacing, nodule.y / scanner.spacing, float(cut), number))
    return rows
