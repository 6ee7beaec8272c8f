"""What was looked at beside the judged candidates: images without one, lesions that none hits, lesions hit twice."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from overread_learn.experiment.candidate_set import LOCKED, CandidateSet, Row
from overread_learn.experiment.csv_table import table
from overread_learn.experiment.spellings import Spellings

__all__ = ["Counted", "counted", "lesions"]

NOBODY = "\0"
"""Begins the name of an image's patient that nobody has said: no id holds it, and each such image has its own."""

WHOSE = ("image_id", "patient_id")


class Counted(NamedTuple):
    """The images that FROC rests on, and whence their number."""

    images: Sequence[str]
    """Whose each is."""
    missed: Sequence[str] | int
    """Whose each lesion is that no candidate hits; their number where nobody says whose."""
    without: int
    """How many of the images have no judged candidate."""
    unclear: int
    """Images of the folder that stand in no row, and are not counted: nobody says whether a test patient's."""


def counted(found: CandidateSet, images: str | None, missed: int) -> Counted:
    """Count a set's images that were looked at.

    ``images`` is their number, a CSV file that lists them, or None: then those with a judged candidate, and, where all
    patients of the set are test patients, also those that stand in no row. ``missed`` is the number of lesions that no
    candidate hits; the file may say instead how many each image has.

    Raises ValueError where ``images`` contradicts the set or itself, FileNotFoundError where there is no such file.
    """
    known = {row.image: row.patient for row in found.rows if row.label is not None and _judged(found, row)}
    if images is not None and not (images.isascii() and images.isdigit()):
        return _listed(Path(images), known, missed)
    if images is not None:
        without = int(images) - len(known)
        if without < 0:
            raise ValueError(f"--images: {images} are fewer than the {len(known)} that have a judged candidate")
        return Counted([*known.values(), *(f"{NOBODY}{number}" for number in range(without))], missed, without, 0)
    named = {row.image for row in found.rows}
    others = sorted(name for name in found.images.keys() - named if _picture(found.images[name]))
    if not all(_judged(found, row) for row in found.rows):
        return Counted([*known.values()], missed, 0, len(others))
    return Counted([*known.values(), *(f"{NOBODY}{name}" for name in others)], missed, len(others), 0)


def _judged(found: CandidateSet, row: Row) -> bool:
    return found.side(row.patient) == LOCKED


def _picture(file: Path) -> bool:
    """Return whether a file's name says that it is an image: folders collect others, such as Thumbs.db."""
    return file.suffix.lower() in {".npy", *Image.registered_extensions()}


def _listed(file: Path, known: dict[str, str], missed: int) -> Counted:
    """Read the list of all images: image_id, and if need be patient_id and missed."""
    if not file.is_file():
        raise FileNotFoundError(f"--images: {file} is neither a number nor a file")
    columns, lines = table(file, file.read_bytes())
    if "image_id" not in columns:
        raise ValueError(f"{file}: the column image_id is missing; patient_id and missed are optional")
    if missed and "missed" in columns:
        raise ValueError(f"{file} says which lesions were missed, and so does --missed: leave one out")
    spellings = Spellings()
    for image, patient in known.items():
        spellings.check("candidates.csv", {"image_id": image, "patient_id": patient}, WHOSE)
    owners: dict[str, str] = {}
    lost: list[str] = []
    for number, line in lines:
        where, image = f"{file.name}, line {number}", line["image_id"]
        if not image or image in owners:
            raise ValueError(f"{where}: image_id is " + ("there twice" if image else "empty"))
        spellings.check(where, line, WHOSE)
        patient = line.get("patient_id") or known.get(image, f"{NOBODY}{image}")
        if known.get(image, patient) != patient:
            raise ValueError(f"{where}: in candidates.csv this image is of another patient")
        owners[image] = patient
        count = line.get("missed") or "0"
        if not (count.isascii() and count.isdigit()):
            raise ValueError(f"{where}: missed is a whole number from 0, not {count!a}")
        lost += [patient] * int(count)
    absent = sorted(known.keys() - owners.keys())
    if absent:
        raise ValueError(f"{file}: {len(absent)} images with a judged candidate are missing, the first is {absent[0]}")
    given = lost if "missed" in columns else missed
    return Counted([*owners.values()], given, len(owners) - len(known), 0)


def lesions(rows: Sequence[Row]) -> list[str]:
    """Return which lesion each candidate hits, unique over all patients; a hit without a name is one of its own."""
    return [f"{row.patient}{NOBODY}{row.lesion}" if row.lesion else f"{NOBODY}{row.candidate}" for row in rows]
