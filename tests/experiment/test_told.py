"""What `overread-learn labels` says beside its result: where a name does not do what it promises."""

from __future__ import annotations

import json
from pathlib import Path

from experiment.conftest import TOML
from experiment.console import Console


def test_a_class_that_nobody_has_leaves_cold_starts_to_choose(learn: Console, dots: Path, tmp_path: Path) -> None:
    application = tmp_path / "three.toml"
    application.write_text(TOML.replace('"positive"]', '"positive", "striped"]'))
    out = tmp_path / "out"
    words = ("--candidates", dots, "--application", application, "--weights", "none", "--head-only", "--seeds", "1")
    more = ("--budgets", "8,8", "--epochs", "1", "--patches", "2", "--workers", "1", "--out", out)
    said = learn("labels", *words, *more, "--strategies", "random,margin,diversity@.25")
    assert said.code == 0, said.err
    assert "No label of a train patient is striped: what has a cold start" in said.err
    assert "Of 2 patches diversity@.25 keeps one, which has no diversity" in said.err
    steps = json.loads((out / "raw" / "margin.seed0.json").read_text())["steps"]
    assert [step["cold"] for step in steps] == ["random", "random"]
    assert "8 picks, chosen by random, for a class had no label yet, " in (out / "report.html").read_text()
