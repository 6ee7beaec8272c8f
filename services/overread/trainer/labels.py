"""Labels as samples: what a round learns from and what steers it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from overread.core.errors import InvalidEvent, Undecodable
from overread.core.events import Place
from overread.core.splits import Split
from overread.pacs.views import View, Views
from overread.trainer.tables import trainer_labels
from overread_learn.patches import augment, cut, patches_each

VALIDATION_PATCHES = 2048
"""Patches scored after each epoch at most: beyond it fewer of each candidate's m are used."""


class Labelled(NamedTuple):
    """A candidate that somebody answered, of train or validation patients."""

    candidate: str
    patient: str
    """A pseudonym."""
    label: int
    version: int
    place: Place


def labelled(tx: Connection, split: Split) -> list[Labelled]:
    """Return the labels of a split in the order of their candidates' ids; without those that nobody may learn from."""
    table = trainer_labels
    rows = tx.execute(
        select(table).where(table.c.split == split, table.c.label.is_not(None)).order_by(table.c.candidate)
    ).all()
    return [
        Labelled(
            row.candidate,
            row.patient,
            row.label,
            row.version,
            Place(series=row.series, slice=row.slice, x=row.x, y=row.y),
        )
        for row in rows
    ]


def digest(labels: Sequence[Labelled]) -> str:
    """Return the SHA-256 of candidates, versions and labels: two rounds of equal digest learnt the same."""
    rows: list[Any] = [[one.candidate, one.version, one.label] for one in labels]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def forgotten(tx: Connection, labels: Sequence[Labelled]) -> int:
    """Return of how many labels nothing stands any more: their studies were purged."""
    known = set(tx.execute(select(trainer_labels.c.candidate)).scalars())
    return sum(one.candidate not in known for one in labels)


class Neighbourhoods:
    """Training samples: the neighbourhood of each label, from which augmented patches are drawn.

    Labels whose pixels are gone or can't be read are left out; `missing` counts them.
    """

    def __init__(self, views: Views, labels: Sequence[Labelled]) -> None:
        self._application = views.application
        self.kept = _viewed(views, labels)
        self.labels: NDArray[np.int64] = np.array([one.label for one, _ in self.kept], np.int64)
        self.missing = len(labels) - len(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one augmented patch (3, s, s)."""
        _, view = self.kept[index]
        return augment(view.prepared, view.x, view.y, self._application, rng, view.spacing_mm)

    def patches(self, index: int) -> NDArray[np.float32]:
        """Cut a candidate's own patches (m, 3, s, s), which are not augmented."""
        _, view = self.kept[index]
        return cut(view.prepared, view.x, view.y, self._application, view.spacing_mm)

    def part(self, indices: NDArray[np.intp]) -> Neighbourhoods:
        """Return some of the samples."""
        some = copy.copy(self)
        some.kept = [self.kept[index] for index in indices]
        some.labels = self.labels[indices]
        return some


def fixed_patches(
    views: Views, labels: Sequence[Labelled]
) -> tuple[list[NDArray[np.float32]], NDArray[np.int64], list[str]]:
    """Return each candidate's fixed patches (m', 3, s, s), its label (n,) and its patient (n,), for validation."""
    application = views.application
    most = patches_each(application.patches, len(labels), VALIDATION_PATCHES)
    kept = _viewed(views, labels)
    patches = [cut(view.prepared, view.x, view.y, application, view.spacing_mm)[:most].copy() for _, view in kept]
    truth = np.array([one.label for one, _ in kept], np.int64)
    return patches, truth, [one.patient for one, _ in kept]


def _viewed(views: Views, labels: Sequence[Labelled]) -> list[tuple[Labelled, View]]:
    """Look at every place, image by image; keep the labels' own order."""
    found: dict[str, View] = {}
    for one in sorted(labels, key=lambda one: (one.place.series, one.place.slice)):
        try:
            found[one.candidate] = views.around(one.place)
        except (FileNotFoundError, Undecodable, InvalidEvent, ValueError):
            continue
    return [(one, found[one.candidate]) for one in labels if one.candidate in found]
