"""Fine-tune the last blocks of a network on features that its frozen trunk computes once.

What is frozen gives the same features in every epoch: they are computed for a fixed set of augmented patches of each
candidate, and the continual step then trains the rest on them. The price is that no further patch is drawn. They are
kept in float32: half precision would save half the memory, but no time, since each batch would have to be turned back.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from overread_learn.finetune import EpochReport, Fitted, Recipe, Samples, Validation, finetune
from overread_learn.finetune.checkpoint import resume_threads
from overread_learn.finetune.predict import groups, tensor
from overread_learn.nets.blocks import Part, blocks, freeze, join, split
from overread_learn.nets.classifier import Classifier

__all__ = ["Drawn", "drawn", "features", "finetune_last"]

PATCHES = 8
"""How many augmented patches of a candidate are cached, unless said otherwise."""

MOST_BYTES = 2**31
"""The largest cache, unless said otherwise."""


@dataclass(frozen=True)
class Drawn:
    """Labelled candidates whose patches, or features of them, were drawn beforehand."""

    labels: NDArray[np.integer]
    arrays: Sequence[NDArray[np.float32]]
    """Each candidate's own, (m_i, ...)."""

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.arrays)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one of a candidate's arrays, each as likely as the others."""
        own = self.arrays[index]
        one: NDArray[np.float32] = own[rng.integers(len(own))]
        return one


def finetune_last(
    model: Classifier,
    depth: int | None,
    train: Samples,
    validation: Validation | None,
    recipe: Recipe,
    *,
    patches: int = PATCHES,
    most_bytes: int = MOST_BYTES,
    on_epoch: Callable[[EpochReport], None] | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fine-tune the last ``depth`` blocks of a copy of ``model`` by the continual step; ``model`` stays as it is.

    None are all layers, in a network of whatever family: `finetune` itself.

    The trunk runs once, over ``patches`` augmented patches of each candidate and over the validation's. Where nothing
    is frozen, or the features would take more than ``most_bytes``, each epoch draws new patches instead and runs the
    whole network. Either way the whole network is returned, and equal seeds give equal weights. ``on_epoch`` and
    ``checkpoint`` are those of `finetune`.

    Raises ValueError on a depth that the network does not have and on ``patches`` < 1, and what `finetune` raises.
    """
    if patches < 1:
        raise ValueError(f"at least one patch a candidate is needed, got {patches}")
    if depth is None:
        return finetune(model, train, validation, recipe, on_epoch=on_epoch, checkpoint=checkpoint)
    resume_threads(checkpoint)  # the features are to be those of before, too
    trunk, rest = split(model, depth)
    trunk.to(memory_format=torch.channels_last)  # as in the continual step
    if depth == len(blocks(model)) or _bytes(trunk, train, validation, patches) > most_bytes:
        whole = copy.deepcopy(model)
        freeze(whole, depth)
        fitted = finetune(whole, train, validation, recipe, on_epoch=on_epoch, checkpoint=checkpoint)
    else:
        rng = np.random.default_rng((recipe.seed, patches))  # a stream apart from the one that orders the epochs
        cached = Drawn(train.labels, features(trunk, drawn(train, patches, rng)))
        held_out = (features(trunk, validation[0]), validation[1]) if validation else None
        fitted = finetune(rest, cached, held_out, recipe, on_epoch=on_epoch, checkpoint=checkpoint)
    return replace(fitted, model=join(model, fitted.model))


def drawn(samples: Samples, patches: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Yield some augmented patches of each candidate in turn, (patches, 3, s, s)."""
    for index in range(len(samples)):
        yield np.stack([samples.draw(index, rng) for _ in range(patches)])


def features(trunk: Part, candidates: Iterable[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return what a trunk makes of each candidate's patches: (m_i, 3, s, s) to (m_i, c, h, w), or to (m_i, c)."""
    found: list[NDArray[np.float32]] = []
    for group in groups(candidates):
        with torch.inference_mode():
            maps = trunk(tensor(trunk, np.concatenate(group))).cpu().numpy()
        ends = np.cumsum([len(candidate) for candidate in group])[:-1]
        found += np.split(np.ascontiguousarray(maps), ends)
    return found


def _bytes(trunk: Part, train: Samples, validation: Validation | None, patches: int) -> int:
    """Return how much memory all features would take, judged by those of one patch."""
    if not len(train):
        return 0  # the continual step says what is wrong with that
    count = patches * len(train) + (sum(len(candidate) for candidate in validation[0]) if validation else 0)
    (one,) = features(trunk, [train.draw(0, np.random.default_rng(0))[np.newaxis]])
    return count * one.nbytes
