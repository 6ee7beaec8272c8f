"""What grows in a phantom's lung: vessels, which are tubes that branch, and nodules, which are balls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread.simulation.ct import Scanner


class Nodule(NamedTuple):
    """A soft sphere; all in mm, from the centre of the volume's first voxel."""

    x: float
    y: float
    z: float
    radius: float
    contrast: float
    """HU above the lung around it."""


def grow_vessels(
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


def grow_nodules(
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
