"""A made-up chest for the documentation's picture: no patient has to lend one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage


def thorax(number: int, *, seed: int = 3) -> Any:
    """One slice (512 x 512, HU) of something like a chest: body, lungs, heart, spine, ribs, vessels, a nodule."""
    noise = np.random.default_rng(seed + number)
    shape = np.random.default_rng(seed)
    y, x = np.mgrid[:512, :512].astype(np.float32)

    def ellipse(cx: float, cy: float, a: float, b: float, tilt: float = 0.0) -> Any:
        u, v = x - cx, y - cy
        c, s = np.cos(tilt), np.sin(tilt)
        return ((u * c + v * s) / a) ** 2 + ((v * c - u * s) / b) ** 2

    image = np.full((512, 512), -1000.0, np.float32)
    body = ellipse(256, 262, 226, 168)
    image[body < 1] = -95
    image[body < 0.86] = 45
    swell = 1 + 0.003 * number
    lungs = np.zeros((512, 512), bool)
    for cx, tilt in ((156, 0.16), (358, -0.16)):
        lungs |= ellipse(cx, 256, 84 * swell, 122 * swell, tilt) < 1
    lungs &= ellipse(256, 262, 186, 130) < 1
    lungs &= ellipse(250, 236, 40, 112) > 1  # mediastinum
    lungs &= ellipse(292, 258, 78, 56, 0.55) > 1  # heart
    lungs &= ellipse(256, 378, 50, 62) > 1
    image[lungs] = -865
    for _ in range(150):
        angle, length, width = shape.uniform(0, 2 * np.pi), shape.uniform(6, 34), shape.uniform(0.9, 3.0)
        near = shape.uniform(0.1, 0.9)
        root = (206, 250) if shape.random() < 0.5 else (310, 250)
        cx = root[0] + near * 130 * np.cos(angle)
        cy = root[1] + near * 130 * np.sin(angle) + 2 * (number - 12) * shape.uniform(-1, 1)
        vessel = ellipse(cx, cy, length, width * (1.4 - near), angle + shape.normal(0, 0.3)) < 1
        image[vessel & lungs] = shape.uniform(-350, 20)
    image[ellipse(256, 372, 30, 25) < 1] = 240
    image[ellipse(256, 372, 25, 20) < 1] = 160
    image[ellipse(256, 408, 10, 26) < 1] = 260
    image[ellipse(256, 394, 10, 8) < 1] = 30
    image[ellipse(214, 352, 15, 15) < 1] = 150
    for side in (-1, 1):
        for k in range(7):
            angle = -1.15 + 0.4 * k + 0.02 * number
            rib = ellipse(256 + side * 196 * np.cos(angle), 262 + 146 * np.sin(angle), 7, 17, side * (angle + 0.15))
            image[rib < 1] = 420
            image[rib < 0.5] = 250
    depth = 1 - ((number - 12) / 5) ** 2
    if depth > 0:
        for cx, cy, r in ((131, 216, 8.5), (396, 300, 5.5)):
            image[(ellipse(cx, cy, r * depth**0.5, r * depth**0.5 * 0.92) < 1) & lungs] = 35
    image = ndimage.gaussian_filter(image, 0.9) + ndimage.gaussian_filter(noise.normal(0, 60, image.shape), 0.8)
    return image.round().clip(-1024, 3071).astype(np.int16)
