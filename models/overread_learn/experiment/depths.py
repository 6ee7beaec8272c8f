"""A study of depths on a candidate set: on every core, each finding kept the moment it ends, taken up again later."""

import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from overread_learn.applications import Application
from overread_learn.depth import SCRATCH, Cohort, Finding, Held, Key, Network, find, stratified, wished
from overread_learn.depth.cache import PATCHES
from overread_learn.experiment.comparison import OtherRules, commit, write
from overread_learn.experiment.learner import use_threads
from overread_learn.experiment.material import FixedPatches, Material, Subset
from overread_learn.experiment.processes import CONTEXT, cores, processor, spread, threads_of
from overread_learn.experiment.ranks import packed
from overread_learn.patches import patches_each

__all__ = ["VALIDATION", "VALIDATION_PATCHES", "DepthStudy", "cohort", "held", "train"]

VALIDATION = 300
"""Validation candidates of a study at most, classes in proportion: all of IDRiD's, after each of 24 epochs, would take
three times as long as the learning itself."""

VALIDATION_PATCHES = 4096
"""Validation patches at most, for they are kept in memory and scored after each epoch: beyond it fewer of each
candidate's m are used. A polyp has 120 patches of 77 kB."""


@dataclass(frozen=True)
class DepthStudy:
    """The findings of one network on one material under one setting.

    ``folder`` is where `overread_learn.experiment.material.gather` wrote, ``file`` where the findings stand: JSON with
    ``setting``, ``test`` (labels and patients, in the order of the scores) and ``findings``.
    """

    network: Network
    application: Application
    folder: Path
    file: Path
    sizes: Sequence[int]
    seeds: Sequence[int]
    depths: Sequence[int] | None
    """All if None."""
    most: int
    """Candidates of the whole training set that are used."""
    workers: int
    """Processes; the cores are divided among them."""
    validation_patches: int = VALIDATION_PATCHES
    """Of the validation candidates together, at most: they are scored after each epoch, which can take longer than to
    learn."""

    def setting(self) -> dict[str, Any]:
        """Return the rules and the circumstances under which findings may share a table: seconds are among them."""
        weights, material = self.network.weights, Material(self.folder, self.application)
        rules = {
            "arch": self.network.arch,
            "weights": weights if isinstance(weights, str) else sha256(weights.read_bytes()).hexdigest(),
            "material": material.digest,
            "images_sha256": material.images_sha256,
            "recipe": _without_seed(self.network.recipe),
            "scratch": _without_seed(self.network.scratch) if self.network.scratch else None,
            "patches": PATCHES,
            "validation": VALIDATION,
            "most": self.most,
            "workers": self.workers,
            "threads": threads_of(self.workers),
            "machine": f"{platform.machine()}, {cores()} cores",
        }
        if self.validation_patches != VALIDATION_PATCHES:  # what older versions began does not say so
            rules["validation_patches"] = self.validation_patches
        plain: dict[str, Any] = json.loads(json.dumps(rules))
        return plain

    def read(self) -> dict[Key, dict[str, Any]]:
        """Return the findings that stand in the file, of any share, depth and seed.

        Raises OtherRules where they were made under another setting, and says what differs. One that had no recipe for
        learning from scratch may be given one.
        """
        if not self.file.exists():
            return {}
        kept, ours = _table(self.file), self.setting()
        # What an older version began does not say of which images.
        theirs = {"images_sha256": ours["images_sha256"], **kept["setting"]}
        other = [name for name in sorted({*ours, *theirs}) if theirs.get(name) != ours.get(name)]
        if "scratch" in other and None in (ours["scratch"], kept["setting"]["scratch"]):
            other.remove("scratch")
        if other:
            differs = ", ".join(f"{name}: {kept['setting'].get(name)} then, {ours.get(name)} now" for name in other)
            raise OtherRules(f"{self.file} was made under other rules ({differs}); name another file or --out")
        return {(row["share"], row["depth"], row["seed"]): row for row in kept["findings"]}

    def wished(self) -> list[Key]:
        """Return what is to be found, the first seeds first."""
        return wished(self.network, sizes=self.sizes, seeds=self.seeds, depths=self.depths)

    def run(self) -> Iterator[dict[str, Any]]:
        """Yield every wished finding: those of the file first, the others as they end.

        Raises what a finding raises, after the others under way have ended and been kept.
        """
        done = self.read()
        wanted = self.wished()
        yield from (done[key] for key in wanted if key in done)
        left = [key for key in wanted if key not in done]
        if left:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            ready = partial(_prepare, self, self.setting(), commit(), CONTEXT.Lock())
            yield from (row for _, row in spread(_one, left, min(self.workers, len(left)), ready))

    def keep(self, row: dict[str, Any], setting: dict[str, Any]) -> None:
        """Add a finding to the file. One process at a time may."""
        if self.file.exists():
            table = json.loads(self.file.read_text(encoding="utf-8"))
            # A study that had no recipe for learning from scratch has one from now on.
            table["setting"]["scratch"] = table["setting"]["scratch"] or setting["scratch"]
        else:
            material = Material(self.folder, self.application)
            test = np.flatnonzero(material.test)
            facts = {"labels": material.labels[test].tolist(), "patients": [material.patients[at] for at in test]}
            table = {"setting": setting, "test": facts, "findings": []}
        table["findings"].append(row)
        # They end in whatever order; the file is the same either way.
        table["findings"].sort(key=_place)
        write(self.file, table)


def train(material: Material) -> Subset:
    """Return the train patients' candidates."""
    return Subset(material, _learning(material))


def held(material: Material, most: int | None = None, patches: int = VALIDATION_PATCHES) -> Held:
    """Return the validation patients' candidates with their fixed patches, ``patches`` in all at most.

    Where there are more than ``most`` they are drawn, always the same ones, the classes in proportion; two patients
    of each class stay, where there are two, for without them an AUC has no standard error.
    """
    found = np.flatnonzero(material.validation)
    order = _two_patients_first(material, found[stratified(material.labels[found], seed=0)].tolist())
    places = sorted(order[:most])
    each = patches_each(material.application.patches, len(places), patches)
    return Held(
        [material.patches(index, each) for index in places],
        material.labels[places],
        [material.patients[index] for index in places],
    )


def _two_patients_first(material: Material, places: Sequence[int]) -> list[int]:
    """Return the places with one of each of two patients of every class at their head, the order kept otherwise."""
    having: dict[int, set[str]] = {}
    first = []
    for at in places:
        own = having.setdefault(int(material.labels[at]), set())
        if len(own) < 2 and material.patients[at] not in own:
            own.add(material.patients[at])
            first.append(at)
    ahead = set(first)
    return [*first, *(at for at in places if at not in ahead)]


def cohort(material: Material, validation_patches: int = VALIDATION_PATCHES) -> Cohort:
    """Return the three sides of a material: what is learnt from, what chooses the epoch, and the test."""
    return Cohort(
        train(material),
        [material.patients[index] for index in _learning(material)],
        held(material, VALIDATION, validation_patches),
        _tested(material),
    )


def _tested(material: Material) -> Held:
    """Return all test candidates; they are judged once, so their patches are cut then and need no memory before."""
    places = np.flatnonzero(material.test).tolist()
    patients = [material.patients[index] for index in places]
    return Held(FixedPatches(material, places), material.labels[places], patients)


def _table(file: Path) -> dict[str, Any]:
    """Read a study's file. Raises ValueError where it is none."""
    try:
        table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        _ = table["setting"]["scratch"], [_place(row) for row in table["findings"]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is not of a study of depths; remove it, or name another --out") from error
    return table


def _learning(material: Material) -> list[int]:
    found: list[int] = np.flatnonzero(~material.test & ~material.validation).tolist()
    return found


def _place(row: dict[str, Any]) -> tuple[int, bool, int, int]:
    """Return where a finding stands among others: by share, then depth, from scratch last, then seed."""
    scratch = row["depth"] == SCRATCH
    return row["share"], scratch, 0 if scratch else row["depth"], row["seed"]


def _without_seed(recipe: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(recipe).items() if name != "seed"}


class _Worker(NamedTuple):
    study: DepthStudy
    cohort: Cohort
    setting: dict[str, Any]
    commit: str
    alone: AbstractContextManager[Any]
    """While the file is read, added to and written, no other process does."""


_worker: list[_Worker] = []
"""This process's own; filled once, when it starts."""


def _prepare(study: DepthStudy, setting: dict[str, Any], made_by: str, alone: AbstractContextManager[Any]) -> None:
    use_threads(setting["threads"])
    sides = cohort(Material(study.folder, study.application), study.validation_patches)
    _worker.append(_Worker(study, sides, setting, made_by, alone))


def _one(*key: Any) -> dict[str, Any]:
    worker = _worker[0]
    study = worker.study
    row = _row(find(study.network, worker.cohort, key, most=study.most), worker.commit)
    # Here, not where all come together: a finding is kept even if another fails or somebody interrupts.
    with worker.alone:
        study.keep(row, worker.setting)
    return row


def _row(finding: Finding, made_by: str) -> dict[str, Any]:
    table = finding._asdict()
    ranks = packed(table.pop("scores"))
    interval = list(finding.interval) if finding.interval else None
    return {**table, "interval": interval, "ranks": ranks, "commit": made_by, "processor": processor()}
