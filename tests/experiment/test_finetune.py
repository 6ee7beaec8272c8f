"""`overread-learn finetune`: how deep, and that what is done stays done."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from experiment.console import Console
from overread_learn.finetune.rates import RANDOM_START_RATE
from overread_learn.nets import application_of, from_bytes, to_bytes


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


def test_of_what_is_done_the_export_is_written_anew_where_it_is_gone(
    learn: Console, dots: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    words = ("finetune", "--candidates", dots, "--application", dots / "dots.toml", "--weights", "none", "--out", out)
    done = learn(*words, "--json").facts
    whole = (out / "model.onnx").read_bytes()
    for spoil in ((out / "model.onnx").unlink, lambda: (out / "model.onnx").write_bytes(whole[:100])):
        spoil()
        again = learn(*words, "--resume", "--json")
        assert again.facts == done
        assert "is written anew" in again.err
        assert (out / "model.onnx").read_bytes() == whole
    other = from_bytes((out / "model.pt").read_bytes())
    own = application_of((out / "model.pt").read_bytes())
    with torch.no_grad():
        next(other.parameters()).add_(1)
    (out / "model.pt").write_bytes(to_bytes(other, own))
    (out / "model.onnx").unlink()
    assert "it is not what was trained here, or another version of torch writes it" in learn(*words, "--resume").err
    assert not list(out.glob("*.onnx"))
    (out / "model.pt").unlink()
    assert "model.pt is gone: remove" in learn(*words, "--resume").err


def test_a_line_that_began_at_random_keeps_its_rates(learn: Console, dots: Path, tmp_path: Path) -> None:
    words = ("finetune", "--candidates", dots, "--application", dots / "dots.toml", "--epochs", "1")
    rates = []
    for start, folder in ((("--weights", "none"), "first"), (("--parent", tmp_path / "first" / "model.pt"), "second")):
        assert learn(*words, *start, "--out", tmp_path / folder).code == 0
        rates.append(json.loads((tmp_path / folder / "finetune.json").read_text())["history"][0]["rate"])
    assert rates == [RANDOM_START_RATE, RANDOM_START_RATE]


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
