"""The patches of a candidate in a CT volume: sections across and along its vessel."""

import math

import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application, Window
from overread_learn.patches.square import normalise
from overread_learn.patches.variants import variants
from overread_learn.patches.vessel import Vessel, across, along, vessel
from overread_learn.patches.volume import Volume
from overread_learn.patches.window import WHITE

__all__ = ["augment_volume", "cut_volume"]


def cut_volume(volume: Volume, x: float, y: float, z: float, application: Application) -> NDArray[np.float32]:
    """Cut the application's m patches around a candidate in a vessel; (m, 3, s, s) float32, mean and std removed.

    ``x``, ``y``, ``z`` are voxel centres. Channel 0 is the section across the vessel, channels 1 and 2 are both the
    section along it (AIFT repeats the second channel). Widths, shifts along the vessel and rotations about its axis
    walk together as in `overread_learn.patches.variants`; the first patch is narrow, in place and unturned.

    Raises ValueError on a point outside the volume and on an application that cuts from images.
    """
    window = _window(application)
    found = _vessel(volume, volume.position(x, y, z), application, window)
    patches = []
    for scale, shift, pose in variants(application):
        width = application.context * application.scales[scale]
        placed = found.moved(application.shifts[shift][0] * width).turned(math.tau * pose / application.rotations)
        patches.append(_patch(volume, placed, width, application, window))
    return np.stack(patches)


def augment_volume(
    volume: Volume, x: float, y: float, z: float, application: Application, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw one patch, (3, s, s) float32, of random width, shift and rotation within the application's range.

    The vessel may also run the other way. Arguments and errors are those of `cut_volume`.
    """
    window = _window(application)
    found = _vessel(volume, volume.position(x, y, z), application, window)
    width = application.context * math.exp(
        rng.uniform(math.log(min(application.scales)), math.log(max(application.scales)))
    )
    furthest = max(abs(shift[0]) for shift in application.shifts)
    placed = found.moved(rng.uniform(-1, 1) * furthest * width).turned(rng.uniform(-math.pi, math.pi))
    if rng.random() < 0.5:  # a fair coin
        placed = placed._replace(axis=-placed.axis, normal=-placed.normal)
    return _patch(volume, placed, width, application, window)


def _window(application: Application) -> Window:
    window = application.normalisation
    if application.geometry != "vessel" or not isinstance(window, Window):  # the second follows from the first
        raise ValueError(f"application {application.name} cuts its patches from images: use cut")
    return window


def _vessel(volume: Volume, centre: NDArray[np.float64], application: Application, window: Window) -> Vessel:
    # A ball of the widest patch; contrast-filled blood lies in the upper half of the window.
    widest = application.context * max(application.scales)
    return vessel(volume, centre, widest / 2, (window.low + window.high) / 2)


def _patch(
    volume: Volume, placed: Vessel, width_mm: float, application: Application, window: Window
) -> NDArray[np.float32]:
    cross = across(volume, placed, width_mm, application.input_px)
    length = along(volume, placed, width_mm, application.input_px)
    channels = np.stack([cross, length, length], axis=-1)
    levels = np.clip((channels - window.low) * (WHITE / (window.high - window.low)), 0, WHITE)
    return normalise(levels, application)
