"""`overread-learn`: every command shows how it is used, and what `select` and `explain` print is what decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from cli.test_commands import commands
from experiment.console import Console
from overread_learn.acquisition import STRATEGIES
from overread_learn.acquisition.arrow import write
from overread_learn.cli import program

ALL = commands(typer.main.get_command(program()))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example(path: tuple[str, ...]) -> None:
    said = CliRunner().invoke(program(), [*path, "--help"])
    assert said.exit_code == 0
    assert f"Example: overread-learn {' '.join(path)}".strip() in " ".join(said.output.split())


@pytest.fixture
def learn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(monkeypatch, capsys)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates of 8 patches, and fewer of 4."""
    rng = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("pool") / "pool.arrow"
    logits = [rng.normal(0, 2, (8 if number % 3 else 4, 3)) for number in range(30)]
    write(file, (f"c{number:02}" for number in range(30)), logits, list(rng.normal(size=(30, 4)).astype(np.float32)))
    return file


def test_select_by_the_papers_arithmetic_says_what_ours_makes_of_it(learn: Console, pool: Path) -> None:
    words = ("select", "--pool", pool, "--strategy", "diversity", "--budget", "12")
    ours = {pick["id"]: pick["rank"] for pick in learn(*words, "--json").facts}
    theirs = learn(*words, "--reference", "--json").facts
    assert [pick["rank_of_ours"] for pick in theirs] == [ours.get(pick["id"]) for pick in theirs]
    assert [pick["score"] for pick in theirs] == sorted((pick["score"] for pick in theirs), reverse=True)
    assert {pick["majority"] for pick in theirs} == {8}, "raw sums leave no place to those of fewer patches"
    same = sum(pick["rank_of_ours"] is not None for pick in theirs)
    assert 0 < same < 12
    table = learn(*words, "--reference").out
    assert f"12 of 30, by the papers' arithmetic; ours picks {same} of them" in table
    assert "rank of ours" in table
    first = theirs[0]["id"]
    assert "by our arithmetic " in learn("explain", first, *words[1:], "--reference").out
    assert learn("explain", first, *words[1:], "--reference", "--json").facts[first]["value"] == theirs[0]["score"]


@pytest.mark.parametrize("command", [("select",), ("explain", "c00")], ids=lambda words: words[0])
def test_a_reference_that_the_papers_do_not_give_is_refused(
    learn: Console, pool: Path, command: tuple[str, ...]
) -> None:
    said = learn(*command, "--pool", pool, "--strategy", "margin", "--labelled", "1,1,1", "--reference")
    assert said.code == 2
    assert "and margin, which chooses now, goes by none of them" in said.err
    assert said.err.count("error:") == 1


@pytest.mark.parametrize(
    ("name", "columns"),
    [("badge", "squared distance"), ("typiclust", "typicality"), ("coreset", "middle"), ("margin+badge", "share")],
)
def test_what_decided_among_embeddings_has_its_columns(learn: Console, pool: Path, name: str, columns: str) -> None:
    words = ("--pool", pool, "--strategy", name, "--budget", "5", "--labelled", "1,1,1")
    assert columns in learn("select", *words).out
    picks = learn("select", *words, "--json").facts
    assert all(pick["grounds"] for pick in picks)
    assert ("gradient" in learn("explain", picks[1]["id"], *words).out.partition("\n")[2]) == ("badge" in name)
    assert columns not in learn("select", *words[:2], "--strategy", "sum").out


def strict(text: str) -> Any:
    """JSON as its standard has it: no NaN, no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("name", STRATEGIES)
def test_huge_logits_are_ranked_or_refused_and_json_is_json(learn: Console, tmp_path: Path, name: str) -> None:
    largest = float(np.finfo(np.float32).max)
    kept = pa.list_(pa.float64())
    for corner, refused in ((largest, ""), (1e308, "beyond 3.4e+38"), (np.inf, "not finite"), (np.nan, "not finite")):
        rows = [[corner, -corner, -corner, corner], [0.0, 1, 1, 0], [0.0, 2, 0, 1], [1.0, 0, 0, 0]]
        columns = {"id": pa.array(list("dcba")), "logits": pa.array(rows, kept)}
        wide = pa.array(np.random.default_rng(0).random(12).astype(np.float32))
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(wide, 3)
        table = pa.table(columns).replace_schema_metadata({"classes": "2"})
        with pa.OSFile(str(tmp_path / "pool.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        words = ("--pool", tmp_path / "pool.arrow", "--strategy", name, "--labelled", "1,1", "--json")
        for command in (("select", "--budget", "3"), ("explain", "d", "a")):
            said = learn(*command, *words)
            assert said.code == (2 if refused else 0), said
            assert f"candidate d: a logit is {refused}" in said.err if refused else strict(said.out)
