"""Which depth is enough: every depth from the same checkpoint, and the shallowest that is as good as the best.

Layer-wise after Tajbakhsh et al. (IEEE TMI 2016), block-wise after Kandel & Castelli (Applied Sciences 2020); which of
the two it is lies in the network's list of blocks. The papers compare depths by eye; here one standard error decides
(Breiman et al., Classification and Regression Trees, 1984, section 3.4.3).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from overread_learn.depth.cache import PATCHES, finetune_last
from overread_learn.depth.held import Held, judge
from overread_learn.finetune import Recipe, Samples
from overread_learn.nets.blocks import blocks, span
from overread_learn.nets.classifier import Classifier

__all__ = ["Row", "Search", "due", "search", "shallowest"]


class Row(NamedTuple):
    """One depth, and how good the network is on the validation patients after it."""

    depth: int
    """Blocks that were trained, counted from the head."""
    blocks: str
    """Their names, the first and the last: ``layer3-head``."""
    auc: float
    se: float
    """Standard error of the AUC, with patients as clusters."""
    interval: tuple[float, float] | None
    """95 %; None where it has no width."""
    seconds: float
    """To train, the trunk's features among it."""
    epochs: int
    """Epochs that were run."""


class Search(NamedTuple):
    """What a search found."""

    table: tuple[Row, ...]
    """By rising depth."""
    chosen: int
    """The depth to use."""
    labels: int
    """Candidates that it learnt from; `due` holds later counts against them."""


class Measured(Protocol):
    """A depth whose validation AUC is known."""

    @property
    def depth(self) -> int:
        """Blocks that were trained."""

    @property
    def auc(self) -> float:
        """The validation AUC."""

    @property
    def se(self) -> float:
        """Its standard error."""


def search(
    model: Classifier,
    samples: Samples,
    validation: Held,
    recipe: Recipe,
    depths: Iterable[int] | None = None,
    *,
    patches: int = PATCHES,
    on_row: Callable[[Row], None] | None = None,
    checkpoint: Callable[[int], Path] | None = None,
) -> Search:
    """Fine-tune copies of ``model`` at every depth (or at ``depths``), and choose one by its validation AUC.

    All depths have the seed and the epochs of ``recipe``; ``patches`` is that of `finetune_last`. The AUC is that of
    each depth's best epoch on the very patients that it was chosen on: good for comparing depths, too good as a
    forecast. ``checkpoint`` names each depth's file: a search that was broken off repeats no epoch, and its seconds are
    those since. Raises what `finetune_last` and `judge` raise, and ValueError on no depth at all.
    """
    wanted = sorted(set(range(1, len(blocks(model)) + 1) if depths is None else depths))
    if not wanted:
        raise ValueError("a search needs at least one depth")
    table = []
    for depth in wanted:
        begun = time.perf_counter()
        file = checkpoint(depth) if checkpoint else None
        fitted = finetune_last(model, depth, samples, validation[:2], recipe, patches=patches, checkpoint=file)
        seconds = time.perf_counter() - begun
        figure = judge(fitted.model, validation)
        table.append(Row(depth, span(model, depth), *figure, seconds, len(fitted.history)))
        if on_row:
            on_row(table[-1])
    return Search(tuple(table), shallowest(table), len(samples))


def shallowest(rows: Sequence[Measured]) -> int:
    """Return the smallest depth whose AUC is within one standard error, the best one's own, of the best AUC."""
    best = max(rows, key=lambda row: row.auc)
    return min(row.depth for row in rows if row.auc >= best.auc - best.se)


def due(labels_then: int, labels_now: int) -> bool:
    """Tell whether to search again: the labelled set has doubled since the last search."""
    return labels_now >= 2 * labels_then
