"""Whether a candidate set has enough on each side, told from its table alone, before any image is read."""

from overread_learn.applications import Application
from overread_learn.experiment.candidate_set import LOCKED, TRAIN, VALIDATION, CandidateSet, NotACandidateSet

__all__ = ["check_held_out", "check_labels"]


def check_labels(chosen: CandidateSet, application: Application) -> None:
    """Raise NotACandidateSet on a label that is no class, and where train or test patients have labels of one class.

    Train patients are all that are not tested on, those of the validation among them.
    """
    classes = len(application.classes)
    largest = max((row.label or 0 for row in chosen.rows), default=0)
    if largest >= classes:
        raise NotACandidateSet(
            f"candidates.csv: a label is {largest}, and application {application.name} knows 0 to {classes - 1}"
        )
    patients = _patients(chosen)
    for name, sides in (("train", (TRAIN, VALIDATION)), ("test", (LOCKED,))):
        present = sorted({label for side in sides for label in patients[side]})
        if not present:
            raise NotACandidateSet(f"candidates.csv: no {name} patient has a label (column label)")
        if len(present) < 2:  # nothing could be learnt, or nothing measured
            raise NotACandidateSet(
                f"candidates.csv: the {name} patients' labels are all of one class: {present}; "
                f"name more {name} patients in the column split, or bring more patients"
            )


def check_held_out(chosen: CandidateSet, application: Application, least: int) -> None:
    """Raise NotACandidateSet where patients are too few to learn from some, choose on others and test on the rest.

    Each side needs two classes. ``least`` patients must have each class that there is among those chosen on, and among
    those tested on: 1 for an AUC, 2 for its interval. Raises what `check_labels` raises, too.
    """
    check_labels(chosen, application)
    patients = _patients(chosen)
    for side, name, needed in ((TRAIN, "train", 1), (VALIDATION, "validation", least), (LOCKED, "test", least)):
        found = patients[side]
        if len(found) >= 2 and min(len(having) for having in found.values()) >= needed:
            continue
        counts = ", ".join(f"{len(found.get(label, ()))} {what}" for label, what in enumerate(application.classes))
        raise NotACandidateSet(
            f"candidates.csv: too few {name} patients: each class needs {needed}, and those with a label are {counts}; "
            f"name more patients {name} in the column split, or bring more (where the set names no validation "
            "patient, 15 % of the train patients are, by a keyed hash)"
        )


def _patients(chosen: CandidateSet) -> dict[str, dict[int, set[str]]]:
    """Return who has a label of each class, by side and label."""
    sides = {patient: chosen.side(patient) for patient in {row.patient for row in chosen.rows}}
    found: dict[str, dict[int, set[str]]] = {TRAIN: {}, VALIDATION: {}, LOCKED: {}}
    for row in chosen.rows:
        if row.label is not None:
            found[sides[row.patient]].setdefault(row.label, set()).add(row.patient)
    return found
