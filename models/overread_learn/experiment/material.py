"""The candidates of a set as an experiment needs them: pieces of prepared images in one file, mapped into memory."""

import json
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.experiment.candidate_set import LOCKED, VALIDATION, CandidateSet, NotACandidateSet
from overread_learn.experiment.image_files import read_image
from overread_learn.patches import Prepared, augment, cut, neighbourhood, prepare

__all__ = ["Material", "Subset", "gather"]

FORMAT = 2
"""Of the files in the folder: what an older version gathered is gathered again."""


class _Piece(NamedTuple):
    """Where a candidate's piece lies in the file, and the candidate in its piece."""

    offset: int
    shape: tuple[int, int, int]
    dtype: str
    scale: float
    x: float
    y: float


class Material:
    """Labelled candidates of an experiment, in the order of the set.

    ``ids``, ``images`` and ``patients`` (n,), ``labels`` (n,) int64; ``test`` and ``validation`` (n,) bool: whose
    patients are never trained on, and whose may choose an epoch where something is chosen.
    """

    def __init__(self, folder: Path, application: Application) -> None:
        """Map what `gather` wrote. Raises FileNotFoundError where it did not."""
        table = json.loads((folder / "material.json").read_text(encoding="utf-8"))
        self.application = application
        self.digest: str = table["digest"]
        self.ids: list[str] = table["ids"]
        self.patients: list[str] = table["patients"]
        self.labels: NDArray[np.int64] = np.array(table["labels"], np.int64)
        self.test: NDArray[np.bool_] = np.array(table["test"], bool)
        self.images: list[str] = table["images"]
        self.validation: NDArray[np.bool_] = np.array(table["validation"], bool)
        self.left_out: int = table["left_out"]
        self._pieces = [_Piece(*row) for row in table["pieces"]]
        self._bytes = np.memmap(folder / "pieces.bin", np.uint8, "r")

    def __len__(self) -> int:
        return len(self.ids)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one augmented patch of a candidate, (3, s, s)."""
        piece = self._pieces[index]
        return augment(self._prepared(piece), piece.x, piece.y, self.application, rng)

    def patches(self, index: int, most: int | None = None) -> NDArray[np.float32]:
        """Cut a candidate's fixed patches, (m, 3, s, s); the first ``most`` of them."""
        piece = self._pieces[index]
        return cut(self._prepared(piece), piece.x, piece.y, self.application)[:most]

    def _prepared(self, piece: _Piece) -> Prepared:
        size = int(np.prod(piece.shape)) * np.dtype(piece.dtype).itemsize
        pixels = self._bytes[piece.offset : piece.offset + size].view(piece.dtype).reshape(piece.shape)
        return Prepared(np.asarray(pixels), piece.scale)


class Subset:
    """Some candidates of a material, as samples to learn from; ``labels`` (n,) may differ from the truth."""

    def __init__(self, material: Material, indices: Sequence[int], labels: NDArray[np.int64] | None = None) -> None:
        self._material, self._indices = material, list(indices)
        self.labels = material.labels[self._indices] if labels is None else labels

    def __len__(self) -> int:
        return len(self._indices)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one augmented patch, (3, s, s)."""
        return self._material.draw(self._indices[index], rng)


def gather(
    chosen: CandidateSet, application: Application, folder: Path, on_image: Callable[[int, int], None] | None = None
) -> Material:
    """Prepare every image of a set once, and keep of each candidate the piece that its patches can reach.

    Where ``folder`` holds them already, they are used. Candidates without a label are left out. Patients of the split
    ``locked`` (``test``) are the test set; where the set names none, a quarter of the patients, by a keyed hash.
    ``on_image`` hears how many images of how many are done.

    Raises NotACandidateSet where an image can't be read, a candidate lies outside, a label is no class of the
    application, or one of the two sides lacks a class.
    """
    digest = f"{chosen.digest}-{application.to_json()}"
    if (folder / "material.json").is_file():
        kept = json.loads((folder / "material.json").read_text(encoding="utf-8"))
        if (kept.get("format"), kept["digest"]) == (FORMAT, digest):
            return Material(folder, application)
    rows = sorted((row for row in chosen.rows if row.label is not None), key=lambda row: (row.image, row.candidate))
    sides = [chosen.side(row.patient) for row in rows]
    test = [side == LOCKED for side in sides]
    _check([row.label or 0 for row in rows], test, application)
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[_Piece] = []
    images = len({row.image for row in rows})
    with (folder / "pieces.bin").open("wb") as file:
        for number, (name, mine) in enumerate(groupby(rows, key=lambda row: row.image), 1):
            prepared = _prepared(chosen.images[name], application)
            for row in mine:
                try:
                    piece, x, y = neighbourhood(prepared, row.x, row.y, application)
                except ValueError as error:
                    raise NotACandidateSet(f"candidates.csv: {row.candidate}: {error}") from error
                pixels = np.ascontiguousarray(piece.pixels)
                shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
                pieces.append(_Piece(file.tell(), shape, pixels.dtype.str, piece.scale, x, y))
                file.write(pixels.tobytes())
                file.write(bytes(-file.tell() % 8))  # a view of floats wants an aligned start
            if on_image:
                on_image(number, images)
    table = {
        "format": FORMAT,
        "digest": digest,
        "ids": [row.candidate for row in rows],
        "patients": [row.patient for row in rows],
        "labels": [row.label for row in rows],
        "images": [row.image for row in rows],
        "test": test,
        "validation": [side == VALIDATION for side in sides],
        "left_out": len(chosen.rows) - len(rows),
        "pieces": pieces,
    }
    (folder / "material.json").write_text(json.dumps(table), encoding="utf-8")
    return Material(folder, application)


def _prepared(file: Path, application: Application) -> Prepared:
    try:
        return prepare(read_image(file), application)
    except NotACandidateSet:
        raise
    except ValueError as error:
        raise NotACandidateSet(f"{file}: {error}") from error


def _check(labels: Sequence[int], test: Sequence[bool], application: Application) -> None:
    classes = len(application.classes)
    if max(labels, default=0) >= classes:
        raise NotACandidateSet(
            f"candidates.csv: a label is {max(labels)}, and application {application.name} knows 0 to {classes - 1}"
        )
    for name, side in (("train", False), ("test", True)):
        present = {label for label, held_out in zip(labels, test, strict=True) if held_out is side}
        if len(present) < 2:  # nothing could be learnt, or nothing measured
            raise NotACandidateSet(
                f"candidates.csv: the {name} patients' labels are all of one class: {sorted(present)}"
            )
