"""The candidates of a set as an experiment needs them: pieces of prepared images in one file, mapped into memory."""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.experiment.candidate_set import LOCKED, TRAIN, VALIDATION, CandidateSet, NotACandidateSet, Row
from overread_learn.experiment.fingerprints import Fingerprint, contents_of, fingerprint, renewed
from overread_learn.experiment.image_files import read_image
from overread_learn.experiment.sides import check_labels
from overread_learn.files import whole, write_whole
from overread_learn.patches import Prepared, augment, cut, neighbourhood, prepare

__all__ = ["FixedPatches", "Material", "Subset", "gather"]

FORMAT = 6
"""Of the files in the folder: what an older version gathered is gathered again."""


class _Piece(NamedTuple):
    """Where a candidate's piece lies in the file, and the candidate in its piece."""

    offset: int
    shape: tuple[int, int, int]
    dtype: str
    scale: float
    padding: tuple[int, int]
    x: float
    y: float


class Material:
    """Labelled candidates of an experiment, in the order of the set.

    ``ids``, ``images`` and ``patients`` (n,), ``labels`` (n,) int64; ``test`` and ``validation`` (n,) bool: whose
    patients are never trained on, and whose may choose an epoch where something is chosen. ``digest`` is that of the
    set's table and the application, ``images_sha256`` that of the contents of all images with a labelled candidate.
    """

    def __init__(self, folder: Path, application: Application) -> None:
        """Map what `gather` wrote. Raises FileNotFoundError where it did not."""
        table = json.loads((folder / "material.json").read_text(encoding="utf-8"))
        self.application = application
        self.digest: str = table["digest"]
        self.images_sha256: str = contents_of(_fingerprints(table))
        self.ids: list[str] = table["ids"]
        self.patients: list[str] = table["patients"]
        self.labels: NDArray[np.int64] = np.array(table["labels"], np.int64)
        self.test: NDArray[np.bool_] = np.array(table["test"], bool)
        self.images: list[str] = table["images"]
        self.validation: NDArray[np.bool_] = np.array(table["validation"], bool)
        self.left_out: int = table["left_out"]
        self._pieces = [_Piece(*row) for row in table["pieces"]]
        self._bytes = np.memmap(folder / table["pieces_file"], np.uint8, "r")

    def __len__(self) -> int:
        return len(self.ids)

    def sides(self) -> dict[str, str]:
        """Return the side of each patient with a label: train, validation or locked."""
        each = zip(self.patients, self.test, self.validation, strict=True)
        return {patient: LOCKED if test else VALIDATION if chosen else TRAIN for patient, test, chosen in each}

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
        return Prepared(np.asarray(pixels), piece.scale, piece.padding)


class FixedPatches(Sequence[NDArray[np.float32]]):
    """The fixed patches of some candidates, (m, 3, s, s) each, cut when they are asked for and not kept."""

    def __init__(self, material: Material, indices: Sequence[int]) -> None:
        self._material, self._indices = material, indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, at: int) -> NDArray[np.float32]: ...

    @overload
    def __getitem__(self, at: slice) -> "FixedPatches": ...

    def __getitem__(self, at: int | slice) -> "NDArray[np.float32] | FixedPatches":
        """Cut those of one candidate."""
        if isinstance(at, slice):
            return FixedPatches(self._material, self._indices[at])
        return self._material.patches(self._indices[at])


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

    Where ``folder`` holds them already, of the same table, application and images, they are used; where anything fails,
    what it held stays as it was. Candidates without a label are left out. Patients of the split ``locked`` (``test``)
    are the test set; where the set names none, those whom `CandidateSet.side` locks. ``on_image`` hears how many images
    of how many are done.

    Raises NotACandidateSet where an image can't be read, a candidate lies outside, a label is no class of the
    application, or one of the two sides lacks a class.
    """
    digest = f"{chosen.digest}-{application.to_json()}"
    rows = sorted((row for row in chosen.rows if row.label is not None), key=lambda row: (row.image, row.candidate))
    files = {row.image: chosen.images[row.image] for row in rows}
    if _holds(folder, digest, files):
        return Material(folder, application)
    check_labels(chosen, application)
    sides = [chosen.side(row.patient) for row in rows]
    test = [side == LOCKED for side in sides]
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[_Piece] = []
    prints: dict[str, Fingerprint] = {}
    # No name comes twice: what material.json says stays true until another one takes its place.
    pieces_file = f"pieces-{secrets.token_hex(8)}.bin"
    with whole(folder / pieces_file) as file:
        for number, (name, mine) in enumerate(groupby(rows, key=lambda row: row.image), 1):
            prints[name] = fingerprint(files[name])
            prepared = _ready(files[name], application)
            pieces.extend(_written(file, mine, prepared, application))
            if on_image:
                on_image(number, len(files))
        if renewed(prints, files) is None:
            raise NotACandidateSet("images/: one of them changed while they were read")
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
        "pieces_file": pieces_file,
        "bytes": (folder / pieces_file).stat().st_size,
        "fingerprints": prints,
    }
    _keep(folder, table)
    for other in folder.glob("pieces*.bin"):  # who has mapped one keeps it
        if other.name != pieces_file:
            other.unlink(missing_ok=True)
    return Material(folder, application)


def _holds(folder: Path, digest: str, files: Mapping[str, Path]) -> bool:
    """Return whether the folder holds the pieces of these very images, whole."""
    try:
        table = json.loads((folder / "material.json").read_text(encoding="utf-8"))
        if (table["format"], table["digest"]) != (FORMAT, digest):
            return False
        if (folder / table["pieces_file"]).stat().st_size != table["bytes"]:
            return False
    except (OSError, ValueError, TypeError, KeyError):  # not there, an older version's, or copied in part
        return False
    kept = _fingerprints(table)
    now = renewed(kept, files)
    if now is not None and now != kept:  # copied or touched: next time a glance is to be enough again
        _keep(folder, {**table, "fingerprints": now})
    return now is not None


def _fingerprints(table: Mapping[str, Any]) -> dict[str, Fingerprint]:
    return {name: Fingerprint(*row) for name, row in table["fingerprints"].items()}


def _keep(folder: Path, table: Mapping[str, Any]) -> None:
    write_whole(folder / "material.json", json.dumps(table).encode(), mode=0o644)


def _written(file: BinaryIO, rows: Iterable[Row], prepared: Prepared, application: Application) -> Iterator[_Piece]:
    """Write the pieces of one image's candidates; one that is the image itself is written for all of them once."""
    whole_at: int | None = None
    for row in rows:
        try:
            piece, x, y = neighbourhood(prepared, row.x, row.y, application)
        except ValueError as error:
            raise NotACandidateSet(f"candidates.csv: {row.candidate}: {error}") from error
        height, width, channels = piece.pixels.shape
        shared = piece.pixels is prepared.pixels
        at = whole_at if shared and whole_at is not None else _append(file, piece.pixels)
        whole_at = at if shared else whole_at
        yield _Piece(at, (height, width, channels), piece.pixels.dtype.str, piece.scale, piece.padding, x, y)


def _append(file: BinaryIO, pixels: NDArray[Any]) -> int:
    """Write pixels, and return where they begin."""
    at = file.tell()
    file.write(np.ascontiguousarray(pixels).tobytes())
    file.write(bytes(-file.tell() % 8))  # a view of floats wants an aligned start
    return at


def _ready(file: Path, application: Application) -> Prepared:
    try:
        return prepare(read_image(file), application)
    except NotACandidateSet:
        raise
    except ValueError as error:
        raise NotACandidateSet(f"{file}: {error}") from error
