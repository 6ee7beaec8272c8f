"""Small pictures of what was picked. Each stands in the page once, however many strategies picked it."""

import base64
import io
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from overread_learn.experiment.material import Material
from overread_learn.experiment.report.markup import Markup, tag

__all__ = ["Album", "album", "montage"]

LIMIT = 6_000_000
"""Characters that all pictures may take; beyond it they are made smaller, down to the last of _FORMATS."""
_FORMATS = ((64, 80), (48, 70), (32, 60))
"""The side in pixels, and JPEG's quality."""


class Album(NamedTuple):
    """Pictures by their candidates' places in the material."""

    side: int
    """At most, in pixels."""
    pictures: dict[int, str]
    """JPEG in base64."""

    def definitions(self) -> Markup:
        """Return the element that holds the pictures, unseen; `montage` shows them."""
        images = (
            tag("image", id=f"p{index}", width=64, height=64, href=f"data:image/jpeg;base64,{picture}")
            for index, picture in self.pictures.items()
        )
        return tag("svg", tag("defs", *images), width=0, height=0, class_="unseen", aria_hidden="true")


def album(material: Material, wanted: Collection[int], limit: int = LIMIT) -> Album:
    """Take each candidate's first patch as the network gets it, its three channels as red, green and blue."""
    application = material.application
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (application.mean, application.std))
    images = {}
    for index in sorted(set(wanted)):
        levels = np.clip(255 * (material.patches(index, 1)[0] * std + mean), 0, 255)
        images[index] = Image.fromarray(np.rint(levels).astype(np.uint8).transpose(1, 2, 0))
    for side, quality in _FORMATS:
        pictures = {index: _jpeg(image, side, quality) for index, image in images.items()}
        if sum(map(len, pictures.values())) <= limit:
            break
    return Album(side, pictures)


def _jpeg(image: Image.Image, side: int, quality: int) -> str:
    small = image.copy()
    small.thumbnail((side, side))  # never larger than it was
    file = io.BytesIO()
    small.save(file, "JPEG", quality=quality, optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def montage(material: Material, picks: Sequence[int]) -> Markup:
    """Show candidates in the order in which they were picked, framed by what the set says of them."""
    classes = material.application.classes
    return tag(
        "ul",
        *(
            tag(
                "li",
                tag(
                    "svg",
                    tag("title", f"{number}. {classes[material.labels[index]]}: {material.ids[index]}"),
                    tag("use", href=f"#p{index}"),
                    viewBox="0 0 64 64",
                    role="img",
                ),
                class_="positive" if material.labels[index] > 0 else "negative",
            )
            for number, index in enumerate(picks, 1)
        ),
        class_="montage",
    )
