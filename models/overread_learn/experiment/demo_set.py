"""A synthetic candidate set, for whoever has none at hand: photographs with lesions, and what is taken for them."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread_learn.experiment.demo_eye import draw_eye

__all__ = ["CANDIDATES", "NotEmpty", "demo_set"]

CANDIDATES = 34
"""Of each patient."""
PREVALENCE = 0.1
_EVERY = 4
"""One patient in so many is a test patient."""


class NotEmpty(FileExistsError):
    """The folder holds something already."""


def demo_set(
    folder: Path,
    *,
    patients: int = 60,
    seed: int = 0,
    prevalence: float = PREVALENCE,
    on_image: Callable[[int, int], None] | None = None,
) -> Path:
    """Write candidates.csv and images/, one photograph a patient, as docs/contracts.md wants a candidate set.

    It suits the application ``fundus-microaneurysm``. A quarter of the patients are of the split ``test``. The share of
    lesions is ``prevalence`` on either side, as near as whole numbers come; a few patients have most of them. The same
    arguments give the same bytes. ``on_image`` hears how many images of how many are written. Returns ``folder``.

    Raises NotEmpty where the folder holds anything, ValueError on fewer than four patients or a prevalence that leaves
    one of the classes out.
    """
    if patients < _EVERY:
        raise ValueError(f"a demo set needs at least {_EVERY} patients, of whom one is a test patient, got {patients}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotEmpty(f"{folder} is not an empty folder; a demo set goes into a new one")
    test = np.arange(patients) % _EVERY == _EVERY - 1
    first, *each = np.random.SeedSequence(seed).spawn(1 + patients)
    lesions = _lesions(test, prevalence, np.random.default_rng(first))
    images = folder / "images"
    images.mkdir(parents=True)
    with (folder / "candidates.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("candidate_id", "patient_id", "image_id", "split", "x", "y", "label"))
        for patient in range(patients):
            picture, spots = draw_eye(lesions[patient], np.random.default_rng(each[patient]))
            name = f"eye-{patient:04d}"
            picture.save(images / f"{name}.png", optimize=True)
            for number, (spot, lesion) in enumerate(zip(spots, lesions[patient], strict=True)):
                split = "test" if test[patient] else "train"
                table.writerow(
                    (f"{name}-{number:02d}", f"patient-{patient:04d}", name, split, spot.x, spot.y, int(lesion))
                )
            if on_image:
                on_image(patient + 1, patients)
    return folder


def _lesions(test: NDArray[np.bool_], prevalence: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which candidates are lesions, (patients, CANDIDATES): the same share of test patients' and of others'."""
    lesions = np.zeros((len(test), CANDIDATES), bool)
    burden = np.repeat(rng.gamma(1.0, size=len(test)), CANDIDATES)
    for side in (test, ~test):
        members = np.flatnonzero(np.repeat(side, CANDIDATES))
        count = round(prevalence * len(members))
        if not 0 < count < len(members):
            raise ValueError(f"a prevalence of {prevalence} leaves {count} lesions among {len(members)} candidates")
        chance = burden[members] / burden[members].sum()
        lesions.flat[rng.choice(members, count, replace=False, p=chance)] = True
    return lesions
