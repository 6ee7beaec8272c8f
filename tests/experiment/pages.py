"""What the report's tests need: runs as a comparison keeps them, and a reader of pages that minds every tag."""

import csv
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from overread_learn.applications import load
from overread_learn.evaluate.curves import Summary, summarise
from overread_learn.experiment import candidate_set
from overread_learn.experiment.demo_set import demo_set
from overread_learn.experiment.material import Material, gather

Runs = list[dict[str, Any]]

EVIL = "<blink>\"a\" & 'b'"
STRENGTHS = {"random": [0.4, 0.8, 1.2], "auto": [0.8, 1.2, 1.5], "entropy@.25": [0.1, 0.2, 0.3]}
BUDGETS = (20, 20, 40)
VOID = {"meta", "input", "br"}


def odd_material(folder: Path) -> Material:
    """Gather a set of which one candidate and one class are named by somebody who means no good."""
    made = demo_set(folder / "set", patients=8)
    with (made / "candidates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    next(row for row in rows if row["split"] == "train")["candidate_id"] = EVIL
    with (made / "candidates.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    application = replace(load("fundus-microaneurysm"), classes=("harmless", "<marquee>"))
    return gather(candidate_set.read(made), application, folder / "material")


def made_run(material: Material, name: str, seed: int) -> dict[str, Any]:
    """Make a run of a network that nobody trained: the picks are at random, the AUCs rise with STRENGTHS."""
    rng = np.random.default_rng(seed)
    order = [int(index) for index in rng.permutation(np.flatnonzero(~material.test))]
    # The candidate with the odd name is among the first of all.
    order.sort(key=lambda index: "blink" not in material.ids[index])
    steps, done = [], 0
    for strength, budget in zip(STRENGTHS[name], BUDGETS, strict=True):
        picks, done = order[done : done + budget], done + budget
        steps.append(
            {
                "labels": done,
                "positives": int(material.labels[order[:done]].sum()),
                "auc": 0.6 + strength / 4 + seed / 100,
                "seconds": 61.0,
                "picks": [material.ids[index] for index in picks],
                "patterns": {"A": budget - 3, "F": 3},
                "histogram": [budget, *[0] * 8, 5 * budget],
            }
        )
    return {
        "strategy": name, "meaning": name, "seed": seed, "pool": 204, "positives_in_pool": 20, "flipped": 0,
        "steps": steps,
        "commit": "0123456789ab+", "time": f"2025-03-0{seed + 1}T10:00:00+00:00", "machine": "a machine, 2 cores",
    }  # fmt: skip


def made_summaries(material: Material, runs: Runs) -> dict[str, Summary]:
    """Summarise scores that are noise and a share of the truth, which rises with STRENGTHS."""
    test = np.flatnonzero(material.test)
    noise = np.random.default_rng(0).normal(size=len(test))
    table: dict[str, dict[int, Any]] = {}
    for run in runs:
        scores = [
            (step["labels"], noise + strength * material.labels[test])
            for step, strength in zip(run["steps"], STRENGTHS[run["strategy"]], strict=True)
        ]
        table.setdefault(run["strategy"], {})[run["seed"]] = scores
    return summarise(table, [material.patients[index] for index in test], material.labels[test], replicates=40)


class Page(HTMLParser):
    """Checks that what is opened is closed, in order, and keeps what stood in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({key for key, _ in attrs}) == len(attrs)
        self.tags.append((name, dict(attrs), list(self.open)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"<{name}/> closes itself with {attrs}, which HTML does not know")

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open:
            self.words.append((self.open[-1], data))

    def texts(self, name: str) -> list[str]:
        return [text for where, text in self.words if where == name]

    def attributes(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag_, attributes, _ in self.tags if tag_ == name]

    @property
    def text(self) -> str:
        return " ".join(text for where, text in self.words if where not in {"script", "style"}).replace("\xa0", " ")
