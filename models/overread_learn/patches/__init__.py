"""From an image and a point to the patches of a candidate; training and inference share this code."""

from overread_learn.patches.augment import augment
from overread_learn.patches.cut import cut
from overread_learn.patches.prepare import Prepared, prepare

__all__ = ["Prepared", "augment", "cut", "prepare"]
