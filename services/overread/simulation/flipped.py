"""A challenger that learnt every label the wrong way round: the gate has to see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from overread.core.splits import Split
from overread.house import House
from overread.pacs.views import Views
from overread.registry import WEIGHTS_FILE
from overread.trainer import labels as teaching
from overread.trainer.recipe import began_at_random, recipe
from overread_learn.export import export
from overread_learn.finetune import finetune
from overread_learn.nets import from_bytes

EPOCHS = 6


def train_flipped(house: House, champion: int, file: Path, *, on_epoch: Callable[[int], None]) -> None:
    """Fine-tune the champion on the house's own labels, flipped, and export it to `file`.

    Validation labels are flipped too: early stopping would otherwise undo the harm.
    """
    with house.store.reading() as tx:
        train, validation = teaching.labelled(tx, Split.TRAIN), teaching.labelled(tx, Split.VALIDATION)
        scratch = began_at_random(tx)
    views = Views(house.slices, house.application)
    samples = teaching.Neighbourhoods(views, train)
    samples.labels = 1 - samples.labels
    patches, truth, _ = teaching.fixed_patches(views, validation)
    weights = house.registry.fetch(champion, WEIGHTS_FILE)
    assert weights is not None  # noqa: S101 - the demo's champions come from rounds
    settings = house.settings.trainer.model_copy(update={"epochs": EPOCHS})
    fitted = finetune(
        from_bytes(weights),
        samples,
        (patches, np.asarray(1 - truth)),
        recipe(house.application, settings, seed=0, scratch=scratch, first=False),
        on_epoch=lambda report: on_epoch(report.epoch),
    )
    export(fitted.model, house.application, file, extra={"overread.kind": "flipped"})
