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

LUNG, WALL, AIR = -860.0, 20.0, -1000.0
"""HU."""

SCANNERS = (
    Scanner("Simulata", "Helix 16", "B30f", noise=28.0, blur=0.75, matrix=256, spacing=0.78, gap=2.5, intercept=-1024),
    Scanner("Phantasma", "Orbit 64", "LUNG", noise=42.0, blur=0.5, matrix=256, spacing=0.70, gap=2.0, intercept=-1024),
    Scanner("Imago", "Torus One", "STD", noise=22.0, blur=0.95, matrix=224, spacing=0.86, gap=3.0, intercept=-8192),
)
TWICE = 0.2
"""Share of patients with a second study."""


class Nodule(NamedTuple):
    """A soft sphere; all in mm, from the centre of the volume's first voxel."""

    x: float
    y: float
    z: float
    radius: float
    contrast: float
    """HU above the lung around it."""


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
        _vessels(random, tissue, lungs, scanner, side=tree % 2)
    count = int(random.integers(nodules[0], nodules[1] + 1)) if random.random() < prevalence else 0
    found = _nodules(random, tissue, lungs, scanner, count)
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


def _vessels(
    random: np.random.Generator, tissue: NDArray[np.float32], lungs: NDArray[np.bool_], scanner: Scanner, *, side: int
) -> None:
    """Grow one branching tree that runs mostly through the slices, so that they cut it across."""
    slices, height, width = tissue.shape
    depth = slices * scanner.gap
    start = np.array(
        [
            width * scanner.spacing * (0.27 + 0.46 * side + random.uniform(-0.11, 0.11)),
            height * scanner.spacing * (0.5 + random.uniform(-0.22, 0.22)),
            -4.0,
        ]
    )
    course = np.array([*random.normal(0, 0.45, 2), 1.0])
    contrast = random.uniform(400, 800)
    tips = [(start, course / np.linalg.norm(course), random.uniform(2.2, 3.8))]
    for _ in range(4):
        if not tips:
            break
        place, course, radius = tips.pop(0)
        for _ in range(int(random.integers(4, 8))):
            ahead = place + course * 5.0
            _tube(tissue, place, ahead, radius, scanner, contrast)
            place = ahead
            bent = course + random.normal(0, 0.16, 3)
            course = bent / np.linalg.norm(bent)
        if radius < 1.1 or not -8 < place[2] < depth + 8:
            continue
        for share in (0.86, 0.62):
            turned = course + random.normal(0, 0.5, 3)
            tips.append((place, turned / np.linalg.norm(turned), radius * share))
    tissue[~lungs] = 0


def _box(
    low: NDArray[np.float64], high: NDArray[np.float64], scanner: Scanner, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice, slice], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None:
    """Return the voxels between two corners (x, y, z in mm) and the coordinates of their centres (mm)."""
    steps = np.array([scanner.spacing, scanner.spacing, scanner.gap])
    first = np.maximum(np.floor(low / steps).astype(int), 0)
    last = np.minimum(np.ceil(high / steps).astype(int) + 1, np.array(shape[::-1]))
    if np.any(first >= last):
        return None
    x, y, z = (
        np.arange(a, b, dtype=np.float32) * np.float32(step) for a, b, step in zip(first, last, steps, strict=True)
    )
    spans = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return (spans[2], spans[1], spans[0]), x[None, None, :], y[None, :, None], z[:, None, None]


def _tube(
    tissue: NDArray[np.float32],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
    scanner: Scanner,
    contrast: float,
) -> None:
    """Paint a capsule between two points (mm), its edge softened over a voxel."""
    margin = radius + 2 * scanner.spacing
    found = _box(np.minimum(start, end) - margin, np.maximum(start, end) + margin, scanner, tissue.shape)
    if found is None:
        return
    place, x, y, z = found
    along = end - start
    offset = (x - np.float32(start[0]), y - np.float32(start[1]), z - np.float32(start[2]))
    share = sum(part * np.float32(step) for part, step in zip(offset, along, strict=True)) / float(along @ along)
    share = np.clip(share, 0, 1)
    squared = sum((part - share * np.float32(step)) ** 2 for part, step in zip(offset, along, strict=True))
    _paint(tissue, place, radius - np.sqrt(np.asarray(squared)), scanner, contrast)


def _paint(
    tissue: NDArray[np.float32],
    place: tuple[slice, slice, slice],
    inside: NDArray[np.float32],
    scanner: Scanner,
    contrast: float,
) -> None:
    """Add what lies `inside` (mm, negative outside) with an edge of partial volume; the denser one stays."""
    filled = np.clip(inside / np.float32(scanner.spacing) + np.float32(0.5), 0, 1) * np.float32(contrast)
    tissue[place] = np.maximum(tissue[place], filled)


def _nodules(
    random: np.random.Generator, tissue: NDArray[np.float32], lungs: NDArray[np.bool_], scanner: Scanner, count: int
) -> list[Nodule]:
    """Place nodules inside the lungs, apart from each other; some are subtle."""
    found: list[Nodule] = []
    slices, height, width = tissue.shape
    for _ in range(count * 40):
        if len(found) == count:
            break
        radius = 3.0 + 5.0 * random.beta(1.3, 2.2)
        x, y = random.uniform(0, width) * scanner.spacing, random.uniform(0, height) * scanner.spacing
        z = random.uniform(2, slices - 3) * scanner.gap
        reach = int((radius + 2) / scanner.spacing)
        row, column, plane = int(y / scanner.spacing), int(x / scanner.spacing), round(z / scanner.gap)
        around = lungs[plane, max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        if not around.size or around.mean() < 0.98:
            continue
        if any(np.hypot(np.hypot(x - o.x, y - o.y), z - o.z) < 2.5 * (radius + o.radius) for o in found):
            continue
        contrast = random.uniform(180, 330) if random.random() < 0.15 else random.uniform(430, 850)
        nodule = Nodule(x, y, z, radius, contrast)
        _ball(random, tissue, nodule, scanner)
        found.append(nodule)
    return found


def _ball(random: np.random.Generator, tissue: NDArray[np.float32], nodule: Nodule, scanner: Scanner) -> None:
    """Paint a sphere with a slightly lobed outline, averaged over the slice's thickness."""
    centre = np.array([nodule.x, nodule.y, nodule.z])
    margin = nodule.radius * 1.2 + 2 * scanner.spacing + scanner.gap
    found = _box(centre - margin, centre + margin, scanner, tissue.shape)
    if found is None:
        return
    place, x, y, z = found
    lobes, turn = random.uniform(0.0, 0.10), random.uniform(0, 2 * np.pi)
    radius = nodule.radius * (1 + lobes * np.cos(3 * np.arctan2(y - nodule.y, x - nodule.x) + turn))
    filled = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    parts = (-0.33, 0.0, 0.33)
    for part in parts:
        distance = np.sqrt((x - nodule.x) ** 2 + (y - nodule.y) ** 2 + (z + part * scanner.gap - nodule.z) ** 2)
        filled += np.clip((radius - distance) / (1.6 * scanner.spacing) + 0.5, 0, 1) / len(parts)
    tissue[place] = np.maximum(tissue[place], filled * nodule.contrast)


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
