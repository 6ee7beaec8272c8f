"""What the report says of the conditions, where they are not those of the shipped default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiment.pages import BUDGETS, Page, made_run, made_summaries, odd_material
from overread_learn.applications import Phase
from overread_learn.experiment.protocol import Protocol
from overread_learn.experiment.report import report

PHASES = {"first": Phase(1e-3, 1e-2, 0.95, 2), "later": Phase(1e-3, 1e-2, 0.95, 3)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "24 epochs a round by ACFT(LQ) at the application's rates"),
        ({"epochs": 7, "rates": "papers"}, "7 epochs a round by ACFT(LQ) at the papers' rates"),
        ({"rates": "papers"}, "2 epochs in the first round, 3 in each later one, 24 where it starts from scratch"),
    ],
)
def test_how_long_a_round_learns(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    material = odd_material(tmp_path)
    material.application = replace(material.application, phases=PHASES)
    rules = Protocol(material.application.to_json(), "squeezenet1_1", "0" * 64, material.digest, BUDGETS)
    runs = [made_run(material, "random", 0)]
    file = report(runs, {}, material, replace(rules, **change), tmp_path / "r.html")
    assert said in Page(file.read_text(encoding="utf-8")).text


def test_a_strategy_of_fewer_seeds_is_held_against_randoms_of_these(tmp_path: Path) -> None:
    material = odd_material(tmp_path)
    rules = Protocol(material.application.to_json(), "squeezenet1_1", "0" * 64, material.digest, BUDGETS)
    runs = [made_run(material, "random", 0), made_run(material, "random", 1), made_run(material, "auto", 1)]
    file = report(runs, made_summaries(material, runs), material, rules, tmp_path / "r.html")
    assert "auto reached what random had with auto's 1 seed with" in Page(file.read_text(encoding="utf-8")).text


def test_where_there_is_no_interval_none_is_beyond_it(tmp_path: Path) -> None:
    material = odd_material(tmp_path)
    rules = Protocol(material.application.to_json(), "squeezenet1_1", "0" * 64, material.digest, BUDGETS)
    runs = [made_run(material, name, 0) for name in ("random", "auto")]
    material.patients = ["p"] * len(material.patients)
    said = Page(report(runs, made_summaries(material, runs), material, rules, tmp_path / "r.html").read_text()).text
    assert "Of 1 strategy there is no interval: a class is that of one test patient alone" in said
    assert "(no interval)" in said
    assert "beyond their" not in said
