"""`overread-learn finetune`: how deep, and that what is done stays done."""

from __future__ import annotations

from pathlib import Path

from experiment.console import Console


def test_a_model_that_is_done_is_never_written_over(learn: Console, dots: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    words = ("finetune", "--candidates", dots, "--application", dots / "dots.toml", "--weights", "none", "--out", out)
    first = learn(*words, "--json")
    then = (out / "model.pt").stat().st_mtime_ns
    again = learn(*words)
    assert again.code == 2
    assert "finetune.json is there: go on with --resume, or name another --out" in again.err
    assert learn(*words, "--resume", "--json").facts == first.facts  # the same training: there is nothing to do
    for other in (("--epochs", "2"), ("--seed", "1"), ("--depth", "1")):
        assert "is of another training, which is done" in learn(*words, *other, "--resume").err
    assert (out / "model.pt").stat().st_mtime_ns == then


def test_finetune_goes_as_deep_as_is_wished_or_enough(
    learn: Console, dots: Path, network: Path, tmp_path: Path
) -> None:
    words = ("finetune", "--candidates", dots, "--application", dots / "dots.toml", "--parent", network / "model.pt")
    head = learn(*words, "--json", "--depth", "1", "--out", tmp_path / "head").facts
    assert (head["depth"], head["trained"]) == (1, "head")
    searched = learn(*words, "--json", "--depth", "search", "--out", tmp_path / "searched").facts
    assert [row["depth"] for row in searched["depths"]] == [1, 2, 3, 4, 5]
    assert searched["depths"][0]["auc"] == head["auc_validation"]
    assert searched["auc_validation"] == searched["depths"][searched["depth"] - 1]["auc"]
    assert not list((tmp_path / "searched").glob("checkpoint*"))
