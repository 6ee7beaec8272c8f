"""How deep a round trains: all layers, a set number of blocks, or what a search found to be enough.

A search trains every depth, so its answer holds until the labels have doubled. Its checkpoints stand beside the
round's: what was killed in a search repeats no epoch, and the depth that is taken isn't trained a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from overread.config import Trainer
from overread.trainer.tables import trainer_rounds
from overread_learn.depth import Held, Row, due, figure, search
from overread_learn.finetune import OtherTraining
from overread_learn.nets import Classifier
from overread_learn.nets.blocks import blocks, span

if TYPE_CHECKING:
    from overread_learn.finetune import Recipe, Samples

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What the last search said."""

    depth: int
    labels: int
    """Of train patients, when it searched."""


class Depth(NamedTuple):
    """How deep a round trains."""

    blocks: int | None
    """Counted from the head; None: all layers, in a network of whatever family."""
    searched: int | None = None
    """Labels of train patients, where this round searched."""
    table: Sequence[Row] = ()
    """What it found at each depth."""

    def lineage(self, network: Classifier) -> dict[str, str]:
        """Return it in words for the registry."""
        if self.blocks is None:
            return {"depth": "all layers"}
        said = {"depth": f"{self.blocks} of {len(blocks(network))} blocks, {span(network, self.blocks)}"}
        return said if self.searched is None else {**said, "searched": str(self.searched)}

    def figures(self) -> dict[str, float]:
        """Return the validation AUC of each depth that was tried."""
        return {f"auc_depth_{row.depth}": row.auc for row in self.table}


ALL = Depth(None)


def last_search(tx: Connection) -> Found | None:
    """Return what the last search of a registered round said."""
    table = trainer_rounds
    asked = select(table.c.depth, table.c.searched).where(table.c.searched.is_not(None))
    row = tx.execute(asked.order_by(table.c.round.desc()).limit(1)).first()
    return Found(row.depth, row.searched) if row else None


def check(settings: Trainer, network: Classifier) -> None:
    """Refuse a depth that the network does not have.

    Raises:
        ValueError: says which it has; also where `trainer.depth` is not `all` and its family has no list of blocks.
    """
    if settings.depth != "all":
        span(network, 1 if settings.depth == "search" else settings.depth)


def deep(
    settings: Trainer,
    last: Found | None,
    labels: int,
    network: Classifier,
    train: Samples,
    validation: Held,
    recipe: Recipe,
    checkpoint: Path | None,
) -> Depth:
    """Return how deep to train `network`, after a search where one is due.

    Where the validation patients are too few for a standard error, no depth can be told from another: the last answer
    holds, and all layers learn where there is none.
    """
    if settings.depth == "all":
        return ALL
    if isinstance(settings.depth, int):
        return Depth(settings.depth)
    known = last if last and last.depth <= len(blocks(network)) else None  # the champion may be another network by now
    if known and not due(known.labels, labels):
        return Depth(known.depth)
    try:
        figure(np.full((len(validation.labels), network.classes), 1 / network.classes), validation)
    except ValueError as error:
        log.warning("no search for a depth", extra={"reason": str(error)})
        return Depth(known.depth) if known else ALL
    log.info("search for a depth begins", extra={"labels": labels, "depths": len(blocks(network))})
    file = partial(beside, checkpoint) if checkpoint else None
    look = partial(search, network, train, validation, recipe, on_row=_say, checkpoint=file)
    try:
        found = look()
    except OtherTraining as error:  # pixels purged since, a setting changed, or a file that can't be read
        log.warning("checkpoints of a search put aside", extra={"reason": str(error)})
        for depth in range(1, len(blocks(network)) + 1):
            if file:
                file(depth).unlink(missing_ok=True)
        found = look()
    log.info("search for a depth ended", extra={"depth": found.chosen, "blocks": span(network, found.chosen)})
    return Depth(found.chosen, labels, found.table)


def beside(checkpoint: Path, depth: int) -> Path:
    """Return the file of a searched depth's training."""
    return checkpoint.with_stem(f"{checkpoint.stem}-depth{depth}")


def _say(row: Row) -> None:
    log.info("depth", extra={"depth": row.depth, "blocks": row.blocks, "auc": row.auc, "se": row.se})
