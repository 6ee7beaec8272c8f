"""In which order scales, shifts and poses are combined into a candidate's fixed set of patches."""

from collections.abc import Iterator
from typing import NamedTuple

from overread_learn.applications import Application

__all__ = ["Variant", "variants"]


class Variant(NamedTuple):
    """One combination, as indices into the application's scales and shifts and its poses (symmetries or rotations)."""

    scale: int
    shift: int
    pose: int


def variants(application: Application) -> Iterator[Variant]:
    """Yield the ``patches`` combinations, always in the same order; the first is unscaled, unshifted and unturned.

    All three indices move at once, also where there are few poses, so that few patches already cover each; over all
    indices every triple occurs once.
    """
    scales, shifts = len(application.scales), len(application.shifts)
    for index in range(application.patches):
        lap, pose = divmod(index, application.poses)
        round_of_scales, scale = divmod(lap, scales)
        yield Variant((pose + scale) % scales, (pose + scale + round_of_scales) % shifts, pose)
