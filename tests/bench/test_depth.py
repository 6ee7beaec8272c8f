"""The page of depths says what its numbers say, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.depth_findings import TAUGHT, facts
from overread_learn.bench.depth import STUDIES, page
from overread_learn.bench.depth_claims import claims
from overread_learn.bench.depth_page import section
from overread_learn.experiment.depth_table import DepthTable


@pytest.fixture(scope="module")
def said() -> list[str]:
    return claims(DepthTable(facts(), replicates=300), [10, 100], depths=3)


def test_claims_that_hold(said: list[str]) -> None:
    scratch, fewer, intermediate, few, everything, shallow = said
    assert "scratch (Tajbakhsh et al.)**: holds, and better is shown at every share." in scratch
    assert "get fewer (Tajbakhsh et al.)**: holds. From 100 to 10 % of the labels, fine-tuning loses 0." in fewer
    assert "is enough (Tajbakhsh et al.)**: does not hold at 100 %." in intermediate  # 2.0 where all layers have 2.1
    assert "10 %: +0." in intermediate
    assert "100 %: -0.0" in intermediate
    assert "holds, and more labels ask for no more blocks" in few
    assert "10 %: stage-head; 100 %: stage-head." in few
    assert "always best (Kandel & Castelli)**: holds: better is shown at 10 %." in everything
    assert everything.endswith("All layers are best on validation at 100 %.")
    assert "within all layers' interval is stage-head, 10.0 times faster (10.0 to 10.0 by seed)" in shallow


def test_claims_that_do_not_hold() -> None:
    taught = {**TAUGHT, (10, "scratch"): 2.0, (100, "scratch"): 2.0, (10, 2): 0.3, (100, 2): 0.5}
    scratch, fewer, intermediate, few, everything, shallow = claims(DepthTable(facts(taught), 300), [10, 100], 3)
    assert "does not hold at 10 %" in scratch
    assert "the reverse holds" in fewer
    assert "does not hold at 10 %, 100 %" in intermediate
    assert "does not hold. The fewest" in few
    assert "10 %: stem-head; 100 %: stem-head." in few
    assert "not shown at any share. All layers are best on validation at 10 %, 100 %." in everything
    assert "no depth has an AUC within all layers' interval. The trade-off: the best of those that are 5" in shallow
    assert "is stage-head, 10.0 times faster" in shallow


def test_what_is_level_is_not_called_better() -> None:
    taught = dict.fromkeys(TAUGHT, 1.0)
    scratch, fewer, intermediate, *_ = claims(DepthTable(facts(taught), 300), [10, 100], 3)
    for sentence in (scratch, intermediate):
        assert "not contradicted: better is shown at no share, worse nowhere." in sentence
    assert "not shown. From 100 to 10 %" in fewer


def test_a_whole_study_has_a_row_for_each_depth_and_share() -> None:
    text = section("a set", facts(), 3, (10, 100), 2)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| 100 (10 %)", "| 1000 (100 %)"))]
    assert [(row[0], row[1]) for row in rows] == [
        (f"| {labels}", blocks)
        for labels in ("100 (10 %)", "1000 (100 %)")
        for blocks in ("head", "stage-head", "stem-head", "scratch")
    ]
    assert [row[-1] for row in rows] == 2 * ["25.0 |", "10.0 |", "1.0 |", "1.0 |"]
    assert rows[0][4:6] == ["8", "4"]
    assert "Incomplete" not in text
    assert "| 100 % | stage-head |" in text
    assert "x86_64, 2 cores (one not noted), 2 networks at a time, 1 thread each; commits abc." in text
    assert "24 epochs, 300 for validation; x86_64" in text
    few = facts()
    few["setting"]["validation_patches"] = 600
    assert "24 epochs, 300 for validation (600 patches of theirs); x86_64" in section("a set", few, 3, (10, 100), 2)
    assert "at 100 %, about 48 go into the validation AUC" in text  # 24 epochs of 2


def test_a_study_that_is_not_whole_says_so() -> None:
    part = facts()
    part["findings"] = part["findings"][:-1]
    text = section("a set", part, 3, (10, 100), 2)
    assert "**Incomplete**: 1 of 16 findings are missing." in text
    assert "Left out above, for lack of findings: 100 %." in text
    assert "shallow round" not in text  # that is about 100 %
    assert "needs two shares" in text
    first = {**part, "findings": [row for row in part["findings"] if row["depth"] == 1]}
    text = section("a set", first, 3, (10, 100), 2)
    assert "**Incomplete**: 12 of 16" in text
    assert "nothing can be said of the papers' findings" in text
    assert "all layers not run" in text


def test_the_page_names_what_was_not_run(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    study = STUDIES[0]
    (tmp_path / "raw" / f"depth-{study.name}.json").write_text(json.dumps(facts()))
    text = page(tmp_path)
    assert f"## {study.name}\n" in text
    assert f"Not run: {', '.join(other.name for other in STUDIES[1:])}." in text
    assert "**Incomplete**" in text  # SqueezeNet has five depths, and a whole study has four shares and three seeds
