"""From an image, or a volume, and a point to the patches of a candidate; training and inference share this code."""

from overread_learn.patches.augment import augment
from overread_learn.patches.boundaries import Boundaries, boundaries
from overread_learn.patches.cut import cut, patches_each
from overread_learn.patches.cut_volume import augment_volume, cut_volume
from overread_learn.patches.neighbourhood import neighbourhood
from overread_learn.patches.prepare import Prepared, prepare
from overread_learn.patches.volume import Volume

__all__ = [
    "Boundaries",
    "Prepared",
    "Volume",
    "augment",
    "augment_volume",
    "boundaries",
    "cut",
    "cut_volume",
    "neighbourhood",
    "patches_each",
    "prepare",
]
