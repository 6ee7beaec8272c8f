"""Whom a network learnt from, kept beside it: who was locked never teaches, and who taught is never held out.

A set's sides follow from its patients' ids alone unless it names them; a set that names other sides than the one before
would test a network on those whom it knows.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from overread_learn.experiment.candidate_set import LOCKED, TRAIN, NotACandidateSet

__all__ = ["NOBODY", "Patients", "taught"]

KEY = "patients"
"""In finetune.json."""


class Patients(NamedTuple):
    """Ids, as the sets have them."""

    learnt: frozenset[str]
    locked: frozenset[str]

    def then(self, sides: Mapping[str, str]) -> "Patients":
        """Return whom a network has learnt from, and who was locked, after a training on a set with these sides.

        Raises NotACandidateSet where somebody who was locked would teach, or who taught be held out.
        """
        learnt = {patient for patient, side in sides.items() if side == TRAIN}
        locked = {patient for patient, side in sides.items() if side == LOCKED}
        for found, what in (
            (learnt & self.locked, "for training here, and for testing in what --parent learnt"),
            ((sides.keys() - learnt) & self.learnt, "held out here, and of those that --parent learnt from"),
        ):
            if found:
                who = "a patient is" if len(found) == 1 else f"{len(found)} patients are"
                raise NotACandidateSet(
                    f"candidates.csv: {who} {what}: name the side in the column split as it was, "
                    "or, where this is somebody else, give another id"
                )
        return Patients(self.learnt | learnt, self.locked | locked)

    def known(self, tested: Iterable[str]) -> int:
        """Return how many of some patients the network learnt from."""
        return len(self.learnt & set(tested))

    def facts(self) -> dict[str, dict[str, list[str]]]:
        """Return what finetune.json says of them."""
        return {KEY: {name: sorted(ids) for name, ids in self._asdict().items()}}


NOBODY = Patients(frozenset(), frozenset())


def taught(model: Path) -> Patients:
    """Return whom the finetune.json beside a model names; nobody where there is none, or an older one.

    Raises ValueError where it can't be read.
    """
    file = model.parent / "finetune.json"
    if not file.is_file():
        return NOBODY
    try:
        facts: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        said = facts.get(KEY) or NOBODY._asdict()
        return Patients(frozenset(said["learnt"]), frozenset(said["locked"]))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{file} can't be read: whom {model.name} learnt from is not known") from error
