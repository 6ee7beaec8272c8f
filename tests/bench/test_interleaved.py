import json
from pathlib import Path

import numpy as np
import pytest

from overread_learn.bench.arithmetic import bench
from overread_learn.bench.interleaved import interleaved, ratios, report


def test_every_way_sees_every_rounds_inputs_and_takes_its_turn_at_being_first() -> None:
    seen: list[tuple[str, int]] = []
    seconds = interleaved(
        lambda number: number, {name: lambda inputs, name=name: seen.append((name, inputs)) for name in "abc"}, 4
    )
    assert sorted(seen) == [(name, number) for name in "abc" for number in range(-1, 4)]
    # Round by round, after the warm-up.
    assert [number for _, number in seen] == [number for number in range(-1, 4) for _ in "abc"]
    assert [name for name, _ in seen[3::3]] == ["a", "b", "c", "a"]
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 4, "b": 4, "c": 4}


def test_ratios_are_medians_of_pairs() -> None:
    # The machine was ten times slower in the second round, for both.
    assert ratios({"ours": [1.0, 10.0, 1.0], "theirs": [3.0, 30.0, 2.0]}, "ours") == {"theirs": 3.0}


def test_a_report_says_where_it_was_made() -> None:
    found = report({"ours": [1.0, 3.0], "theirs": [4.0, 6.0]}, "ours", {"size": 7}, ["numpy"])
    assert found["seconds"] == {"ours": 2.0, "theirs": 5.0}
    assert found["ratios"] == {"theirs": 3.0}
    assert found["samples"]["ours"] == [1.0, 3.0]
    assert found["setting"] == {"size": 7}
    assert found["versions"]["numpy"] == np.__version__
    assert found["machine"]["cores"] > 0
    assert found["commit"]
    json.dumps(found)


def test_the_arithmetic_bench_writes_its_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench(candidates=300, rounds=2, out=tmp_path / "build" / "arithmetic.json")
    found = json.loads((tmp_path / "build" / "arithmetic.json").read_text())
    assert set(found["seconds"]) == {"ours", "papers_way", "copy"}
    assert set(found["ratios"]) == {"papers_way", "copy"}
    assert {len(taken) for taken in found["samples"].values()} == {2}
    assert found["setting"]["candidates"] == 300
    assert "papers_way" in capsys.readouterr().out
