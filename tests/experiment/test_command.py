"""The console script as a stranger runs it: processes, files, resuming."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from PIL import Image

from cli.said import Said
from overread_learn import cli

SCRIPT = Path(sys.executable).parent / "overread-learn"


def script(*words: str | Path) -> Said:
    """Run the console script in a process of its own."""
    done = subprocess.run([SCRIPT, *map(str, words)], check=False, capture_output=True, text=True)
    return Said(done.returncode, done.stdout, done.stderr)


def learn(*words: str | Path, fails: bool = False) -> str:
    """Run what the script runs, in this process: starting one takes seconds."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["overread-learn", *map(str, words)]):
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    assert (code != 0) is fails, err.getvalue()
    return err.getvalue() if fails else out.getvalue()


@pytest.fixture(scope="module")
def compared(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("labels") / "out"
    words = ["labels", "--candidates", str(dots), "--application", str(dots / "dots.toml"), "--weights", "none"]
    words += ["--budgets", "12,8", "--out", str(out)]
    said = script(*words, "--strategies", "random,auto", "--seeds", "1")
    assert said.code == 0, said.err
    return out, words


def table(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "labels.json").read_text())
    return found


def test_labels_writes_the_curves_and_the_summary(compared: tuple[Path, list[str]]) -> None:
    out, _ = compared
    found = table(out)
    assert found["strategies"].keys() >= {"random", "auto"}
    (first, last) = found["strategies"]["auto"]["0"]
    assert (first["labels"], last["labels"]) == (12, 20)
    assert last.keys() == {"labels", "auc", "positives", "seconds"}
    assert found["summary"]["random"]["ratio_to_random"] == 1
    keys = {"labels_to_reach", "ratio_to_random", "ratio_interval", "alc", "alc_minus_random", "alc_interval"}
    log2 = {"alc_log2", "alc_log2_interval", "alc_log2_minus_random", "alc_log2_minus_random_interval"}
    assert found["summary"]["auto"].keys() >= keys | log2
    assert "<svg" in (out / "report.html").read_text()


def test_resume_adds_and_never_runs_twice(compared: tuple[Path, list[str]]) -> None:
    out, words = compared
    kept = {file: file.stat().st_mtime_ns for file in (out / "raw").iterdir()}
    said = learn(*words, "--strategies", "random,margin", "--seeds", "2", "--resume", "--json")
    assert set(json.loads(said)) == {"random", "auto", "margin"}
    assert {len(runs) for runs in table(out)["strategies"].values()} == {1, 2}
    assert all(file.stat().st_mtime_ns == then for file, then in kept.items())


def test_a_comparison_that_is_there_is_not_overwritten(compared: tuple[Path, list[str]]) -> None:
    out, words = compared
    assert "go on with --resume" in learn(*words, fails=True)
    assert "made under other rules (epochs)" in learn(*words, "--epochs", "2", "--resume", fails=True)
    assert "unknown strategy 'marge'" in learn(*words, "--strategies", "marge", "--resume", fails=True)
    assert "no list of whole numbers" in learn(*words, "--budgets", "a", "--resume", fails=True)
    assert len(list((out / "raw").iterdir())) >= 2


def test_runs_on_old_and_new_pixels_are_not_mixed(dots: Path, tmp_path: Path) -> None:
    own = tmp_path / "set"
    shutil.copytree(dots, own)
    words = ["labels", "--candidates", own, "--application", own / "dots.toml", "--weights", "none", "--budgets", "12"]
    words += ["--strategies", "random", "--head-only", "--out", tmp_path / "out"]
    learn(*words, "--seeds", "1")
    with Image.open(own / "images/i01.png") as image:
        dark = image.point(lambda level: level // 2)
    dark.save(own / "images/i01.png")
    assert "made under other rules (images_sha256)" in learn(*words, "--seeds", "2", "--resume", fails=True)
    learn(*words, "--seeds", "1", "--raw", tmp_path / "anew")
    assert len(list((tmp_path / "out/material").glob("embeddings-*.npy"))) == 2, "the features are the images' own"


def test_without_random_the_strategies_are_told_alone(dots: Path, tmp_path: Path) -> None:
    words = (
        "labels",
        "--candidates",
        dots,
        "--application",
        dots / "dots.toml",
        "--weights",
        "none",
        "--budgets",
        "12",
    )
    words = (*words, "--strategies", "entropy", "--seeds", "2", "--workers", "1", "--out", tmp_path / "out")
    (row,) = json.loads(learn(*words, "--json")).items()
    assert row[0] == "entropy"
    steps = [runs[-1] for runs in table(tmp_path / "out")["strategies"]["entropy"].values()]
    assert row[1]["auc"] == pytest.approx(sum(step["auc"] for step in steps) / 2)
    assert (row[1]["seeds"], row[1]["labels"]) == (2, 12)
    said = script(*words, "--resume")
    assert said.code == 0, said.err
    assert "entropy" in said.out
    assert "told against random: add it" in said.err


def test_finetune_export_evaluate_select_explain(dots: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    words = ("--candidates", dots, "--application", dots / "dots.toml", "--weights", "none")
    facts = json.loads(learn("finetune", *words, "--epochs", "2", "--out", out, "--json"))
    assert facts["best_epoch"] in {1, 2}
    assert learn("export", out / "model.pt", tmp_path / "again.onnx").strip() == facts["sha256"]
    other = ("export", out / "model.pt", tmp_path / "other.onnx", "--application", "lung-nodule")
    assert "learnt dots" in learn(*other, fails=True)
    judged = json.loads(learn("evaluate", "--candidates", dots, "--model", out / "model.onnx", "--json"))
    assert judged["candidates"] == 20
    assert 0 <= judged["auc"] <= 1
    assert judged["cpm"] >= 0
    pool = ("--pool", dots, "--model", out / "model.onnx")
    picks = json.loads(learn("select", *pool, "--budget", "5", "--labelled", "3,3", "--json"))
    assert [pick["rank"] for pick in picks] == [0, 1, 2, 3, 4]
    said = json.loads(learn("explain", picks[0]["id"], *pool, "--strategy", "sum@.25", "--json"))[picks[0]["id"]]
    assert len(said["patches"]) == 3
    assert "has no candidate nobody" in learn("explain", "nobody", *pool, fails=True)


def test_without_weights_or_a_network_it_begins_at_random_and_says_so(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    words = ("finetune", "--candidates", dots, "--application", dots / "dots.toml", "--epochs", "1")
    said = script(*words, "--out", tmp_path / "model", "--json")
    assert said.code == 0, said.err
    assert "Random weights, since ImageNet's can't be had" in said.err
    assert said.facts["started_from"] == "none"
    asked = script(*words, "--weights", "imagenet", "--out", tmp_path / "asked")
    assert asked.code == 2
    assert "no ImageNet weights" in asked.err


def test_depth_goes_on_where_it_was_broken_off(dots: Path, shared: Path, tmp_path: Path) -> None:
    words = (
        "depth",
        "--candidates",
        dots,
        "--application",
        dots / "dots.toml",
        "--out",
        tmp_path / "depth",
        "--workers",
        "2",
    )
    words += ("--weights", shared / "weights/squeezenet1_1.pth", "--seeds", "1", "--epochs", "1", "--most", "40")
    first = json.loads(learn(*words, "--sizes", "50", "--depths", "1", "--json"))
    assert [(row["share"], row["depth"]) for row in first] == [(50, 1)]
    both = json.loads(learn(*words, "--sizes", "50", "--depths", "1,2", "--scratch", "--resume", "--json"))
    assert [row["depth"] for row in both] == [1, 2, "scratch"]
    assert both[0] == first[0]
    assert "go on with --resume" in learn(*words, "--sizes", "50", fails=True)
    other = learn(*words, "--sizes", "50", "--depths", "1", "--workers", "1", "--resume", fails=True)
    assert "was made under other rules (" in other
    assert "workers: 2 then, 1 now" in other  # and the threads of each, where there are cores for more
    shown = learn(*words, "--sizes", "50", "--depths", "1,2", "--scratch", "--resume")
    assert "stage4-head" in shown
    assert "core seconds" in shown
    chosen = [row["depth"] for row in both if row["chosen"]]
    assert len(chosen) == 1
    assert chosen[0] in {1, 2}
    assert f"50 %: enough is depth {chosen[0]}, {('head', 'stage4-head')[chosen[0] - 1]} (seeds 0)" in shown


def test_strategies_are_listed_with_their_grammar() -> None:
    assert "typiclust" in json.loads(learn("strategies", "--json"))["strategies"]
    assert "OMEGA" in learn("strategies")
