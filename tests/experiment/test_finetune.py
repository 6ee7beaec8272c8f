"""`overread-learn finetune`: how deep, and that what is done stays done."""

from __future__ import annotations

import json
import shutil
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
    for spoilt, complaint in (("", "is no JSON"), ("[]", "is of another training"), ("null", "is of another training")):
        (tmp_path / "spoilt").mkdir(exist_ok=True)
        (tmp_path / "spoilt/finetune.json").write_text(spoilt)
        said = learn(*words[:-1], tmp_path / "spoilt", "--resume")
        assert f"finetune.json {complaint}" in said.err
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
    trained = (out / "model.pt").read_bytes()
    (out / "model.pt").write_bytes(to_bytes(other, own))
    assert "model.pt is not what was trained here: put that back" in learn(*words, "--resume").err
    facts = json.loads((out / "finetune.json").read_text())
    (out / "finetune.json").write_text(json.dumps({k: v for k, v in facts.items() if k != "weights_sha256"}))  # older
    (out / "model.onnx").unlink()
    assert "it is not what was trained here, or another version of torch writes it" in learn(*words, "--resume").err
    (out / "model.pt").write_bytes(trained)
    assert not list(out.glob("*.onnx"))
    (out / "model.pt").unlink()
    assert "model.pt is gone: remove" in learn(*words, "--resume").err


def test_a_model_of_which_nothing_is_said_is_not_written_over(
    learn: Console, dots: Path, network: Path, tmp_path: Path
) -> None:
    shutil.copy(network / "model.pt", tmp_path)
    words = ("finetune", "--candidates", dots, "--application", dots / "dots.toml", "--parent", tmp_path / "model.pt")
    for resume in ((), ("--resume",)):
        said = learn(*words, "--out", tmp_path, *resume)
        assert said.code == 2
        assert "model.pt is there, and no finetune.json says of what training" in said.err
    assert (tmp_path / "model.pt").read_bytes() == (network / "model.pt").read_bytes()


def test_who_was_locked_never_teaches_and_who_taught_is_never_held_out(
    learn: Console, dots: Path, tmp_path: Path
) -> None:
    first = ("finetune", "--candidates", dots, "--application", dots / "dots.toml", "--weights", "none")
    assert learn(*first, "--out", tmp_path / "first").code == 0
    table = (dots / "candidates.csv").read_text()
    onward = ("finetune", "--application", dots / "dots.toml", "--parent", tmp_path / "first" / "model.pt")
    for number, (name, then, complaint) in enumerate(
        (
            ("test", "train", "a patient is for training here, and for testing in what --parent learnt"),
            ("train", "test", "a patient is held out here, and of those that --parent learnt from"),
        )
    ):
        other = tmp_path / f"other{number}"
        shutil.copytree(dots / "images", other / "images")
        facts = json.loads((tmp_path / "first" / "finetune.json").read_text())
        patient = f",{min(facts['patients']['learnt' if name == 'train' else 'locked'])},"
        lines = table.splitlines(keepends=True)
        changed = [line.replace(f",{name},", f",{then},") if patient in line else line for line in lines]
        (other / "candidates.csv").write_text("".join(changed))
        said = learn(*onward, "--candidates", other, "--out", tmp_path / f"second{number}")
        assert said.code == 2
        assert complaint in said.err
    # The set whose patient has become a test patient: the model is judged, and it is said.
    judged = learn("evaluate", "--candidates", other, "--model", tmp_path / "first" / "model.onnx", "--json")
    assert judged.facts["patients_learnt_from"] == 1
    assert "1 of the 6 test patients have taught this model." in judged.err
    again = learn(*onward, "--candidates", dots, "--out", tmp_path / "third")
    assert again.code == 0
    kept = [json.loads((tmp_path / name / "finetune.json").read_text())["patients"] for name in ("first", "third")]
    assert kept[0] == kept[1]


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
