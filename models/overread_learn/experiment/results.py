"""labels.json: what a comparison's runs say together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from overread_learn.acquisition.strategy import meaning
from overread_learn.evaluate.curves import Summary, summarise
from overread_learn.experiment.material import Material
from overread_learn.experiment.ranks import unpacked

__all__ = ["once", "results", "summaries"]

REFERENCE = "random"
_STEP = ("labels", "auc", "positives", "seconds")


def summaries(runs: Sequence[Mapping[str, Any]], material: Material, replicates: int = 1000) -> dict[str, Summary]:
    """Summarise runs against `random`; empty where that was not run, for then nothing can be said of labels saved."""
    test = np.flatnonzero(material.test)
    table: dict[str, dict[int, list[tuple[int, Any]]]] = {}
    for run in runs:
        steps = [(step["labels"], unpacked(step["ranks"], len(test))) for step in run["steps"]]
        table.setdefault(run["strategy"], {})[run["seed"]] = steps
    if REFERENCE not in table:
        return {}
    patients = [material.patients[index] for index in test]
    return summarise(table, patients, material.labels[test], reference=REFERENCE, replicates=replicates)


def once(runs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return each run once: one may stand for several names."""
    return list({(meaning(run["meaning"]), run["seed"]): run for run in runs}.values())


def results(runs: Sequence[Mapping[str, Any]], found: Mapping[str, Summary]) -> dict[str, Any]:
    """Return labels.json as docs/contracts.md has it: `strategies`, `summary`, and what they rest on."""
    strategies: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        steps = [{name: step[name] for name in _STEP} for step in run["steps"]]
        strategies.setdefault(run["strategy"], {})[str(run["seed"])] = steps
    return {
        "strategies": strategies,
        "summary": {name: summary._asdict() for name, summary in found.items()},
        "protocol": runs[0]["protocol"] if runs else None,
        "commits": sorted({run["commit"] for run in runs}),
        "flipped": sum(run["flipped"] for run in once(runs)),
        "seconds": sum(step["seconds"] for run in once(runs) for step in run["steps"]),
    }
