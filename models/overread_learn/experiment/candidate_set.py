"""Reads a candidate set (a folder; docs/contracts.md) and refuses what contradicts itself."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from overread_learn.experiment.csv_table import table
from overread_learn.experiment.spellings import Spellings

__all__ = ["LOCKED", "TRAIN", "VALIDATION", "CandidateSet", "NotACandidateSet", "Row", "read"]

TRAIN, VALIDATION, LOCKED = "train", "validation", "locked"
REQUIRED = ("candidate_id", "patient_id", "image_id")
VALIDATION_SHARE = 0.15
LOCKED_SHARE = 0.25
NAMED = b"\0validation patients are those that are named"
BREAKS = {"Cc", "Zl", "Zp"}
"""Unicode's categories of what no id may hold: DICOM takes no control characters, and reports are read by lines."""


class NotACandidateSet(ValueError):
    """The folder contradicts docs/contracts.md; the message names the line."""


class Row(NamedTuple):
    """One candidate."""

    candidate: str
    patient: str
    image: str
    x: int | None
    """Pixel centre; None where the candidate is the whole image."""
    y: int | None
    label: int | None
    """0 is negative, 1 (or, where there are more classes, any larger number) is not."""
    score: float | None
    lesion: str
    """Which of its patient's lesions it hits; empty where it hits none, or nobody says which."""


class CandidateSet(NamedTuple):
    """A set that was read."""

    rows: tuple[Row, ...]
    images: dict[str, Path]
    splits: dict[str, str]
    """By patient; those of whom the set says nothing are absent."""
    validation_named: bool
    """Whether the set itself says who is for validation; else 15 % of the train patients are, by a keyed hash."""
    digest: str
    """SHA-256 of candidates.csv. Where validation patients are named, of a word about it too: what was gathered of such
    a set, or learnt, while some of them were locked and others made of train patients, isn't taken for this one."""

    def side(self, patient: str) -> str:
        """Return a patient's split.

        Where the set names no locked patient at all, a quarter are, by a keyed hash, but none that it names for
        validation.
        """
        given = self.splits.get(patient)
        named = self.validation_named and given == VALIDATION
        if not named and LOCKED not in self.splits.values() and _share("locked", patient) < LOCKED_SHARE:
            return LOCKED
        return given or (TRAIN if self.validation_named else _train_or_validation(patient))


def read(folder: Path) -> CandidateSet:
    """Read candidates.csv and find its images.

    Raises:
        NotACandidateSet: a file or column is missing, a row has more or fewer values than there are columns, an id or
            a number is wrong, an id or a column stands twice, an id has two spellings, a patient has two splits or an
            image two patients, an image is missing or there are two of its name. The message names the line.
    """
    file = folder / "candidates.csv"
    if not file.is_file():
        raise NotACandidateSet(f"{file}: there is no such file; a candidate set is candidates.csv and images/")
    content = file.read_bytes()
    try:
        columns, lines = table(file, content)
    except ValueError as error:
        raise NotACandidateSet(str(error)) from error
    missing = [name for name in REQUIRED if name not in columns]
    if missing or not lines:
        raise NotACandidateSet(
            f"{file}: " + (f"the columns {', '.join(missing)} are missing" if missing else "no rows")
        )
    rows: list[Row] = []
    said: dict[str, str] = {}
    seen: set[str] = set()
    owner: dict[str, str] = {}
    spellings = Spellings()
    for number, line in lines:
        where = f"{file.name}, line {number}"
        row = _row(line, where)
        try:
            spellings.check(where, line, (*REQUIRED, "lesion_id"))
        except ValueError as error:
            raise NotACandidateSet(str(error)) from error
        if row.candidate in seen:
            raise NotACandidateSet(f"{where}: this candidate_id stands there twice")
        seen.add(row.candidate)
        rows.append(row)
        if owner.setdefault(row.image, row.patient) != row.patient:
            raise NotACandidateSet(
                f"{where}: image {row.image!a} is of another patient in a line before; on two sides it would be learnt "
                "and tested on"
            )
        split = _split(line.get("split", ""), where)
        if split and said.setdefault(row.patient, split) != split:
            raise NotACandidateSet(f"{where}: this patient is in two splits; patients are split, not images")
    images = _images(folder / "images", (row.image for row in rows))
    named = VALIDATION in said.values()
    splits = {
        patient: _train_or_validation(patient) if split == TRAIN and not named else split
        for patient, split in said.items()
    }
    digest = hashlib.sha256(content + (NAMED if named else b"")).hexdigest()
    return CandidateSet(tuple(rows), images, splits, named, digest)


def _row(line: Mapping[str, str], where: str) -> Row:
    candidate, patient, image = (line[name] for name in REQUIRED)
    for name, value in zip(REQUIRED, (candidate, patient, image), strict=True):
        # PatientID and Tracking Identifier are LO and UT; the image's id is a file name too.
        if not value or len(value) > 64 or any(part in value for part in "/\\\0") or value in {".", ".."}:
            raise NotACandidateSet(f"{where}: {name} must have 1 to 64 characters and no slash")
        if any(unicodedata.category(character) in BREAKS for character in value):
            raise NotACandidateSet(f"{where}: {name} {value!a} holds a line break or a control character")
    try:
        x, y, label = (int(_number(line[name])) if line.get(name) else None for name in ("x", "y", "label"))
        score = float(_number(line["score"])) if line.get("score") else None
    except ValueError as error:
        raise NotACandidateSet(f"{where}: x, y and label are whole numbers, score is a number ({error})") from error
    if score is not None and not math.isfinite(score):
        raise NotACandidateSet(f"{where}: the score is a number, not {score}")
    if (x is None) is not (y is None):
        raise NotACandidateSet(f"{where}: x and y, or neither (the whole image)")
    if label is not None and label < 0:
        raise NotACandidateSet(f"{where}: label is 0, 1, or a larger number where there are more classes")
    lesion = line.get("lesion_id", "")
    if lesion and label == 0:
        raise NotACandidateSet(f"{where}: {candidate} has label 0 and a lesion_id; a lesion is not negative")
    return Row(candidate, patient, image, x, y, label, score, lesion)


def _number(value: str) -> str:
    """Return what may be a number, for `int` or `float`, which alone would also take 2_8 for 28."""
    if "_" in value or not value.isascii():
        raise ValueError(f"{value!r} is none")
    return value


def _split(value: str, where: str) -> str:
    """Return what is said of a patient, empty where nothing is; `test` means locked."""
    if value not in {"", "test", TRAIN, VALIDATION, LOCKED}:
        raise NotACandidateSet(f"{where}: split is train, validation, test or locked")
    return LOCKED if value == "test" else value


def _train_or_validation(patient: str) -> str:
    return VALIDATION if _share("overread candidate set", patient) < VALIDATION_SHARE else TRAIN


def _share(purpose: str, patient: str) -> float:
    """Return a fixed number in [0, 1) for a patient."""
    digest = hashlib.sha256(f"{purpose}\x1f{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _images(folder: Path, wanted: Iterable[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.is_file() and found.setdefault(file.stem, file) is not file:
            raise NotACandidateSet(f"{folder}: two images of one name, {file.name} and {found[file.stem].name}")
    missing = sorted(set(wanted) - found.keys())
    if missing:
        raise NotACandidateSet(f"{folder}: {len(missing)} images are missing, the first is {missing[0]}.*")
    return found
