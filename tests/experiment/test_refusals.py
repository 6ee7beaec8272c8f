"""What is wrong with a command's words is said at once: before images are read and before a process starts."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from experiment.conftest import TOML
from experiment.console import Console
from overread_learn.applications import load
from overread_learn.nets import application_of, build, from_bytes, to_bytes

FAULTS = [
    (("--training", "foo"), "--training: unknown 'foo'; known are RFT(LQ), AFT(LQ)"),
    (("--training", "RFT(LQ)"), "--training RFT(LQ) learns from labels that are drawn at random, and auto picks them"),
    (("--training", "RFT(LQ)", "--strategies", "random,oracle"), "drawn at random, and oracle picks them"),
    (("--arch", "foo"), "unknown network 'foo'"),
    (("--strategies", "random,foo"), "unknown strategy 'foo'"),
    (("--budgets", "12,many"), "--budgets: '12,many' is no list of whole numbers"),
    (("--budgets", "12,0"), "budgets must be whole numbers from 1"),
    (("--prevalence", "2"), "a prevalence lies between 0 and 1"),
    (("--rates", "foo"), "rates are own or papers, got 'foo'"),
    (("--rates", "papers"), "rates papers: application fundus-microaneurysm has no [phases.first]"),
]


@pytest.mark.parametrize(("words", "complaint"), FAULTS, ids=lambda each: each if isinstance(each, str) else each[0])
def test_labels_looks_at_its_words_before_the_images(
    learn: Console, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    out = tmp_path / "out"
    said = learn("labels", "--candidates", tmp_path / "nowhere", "--weights", "none", "--out", out, *words)
    assert said.code == 2
    assert complaint in said.err
    assert not out.exists()


@pytest.mark.parametrize("strategies", ["random", "random,scratch", "random:random"])
def test_what_draws_at_random_goes_with_rft(learn: Console, tmp_path: Path, strategies: str) -> None:
    words = ("labels", "--candidates", tmp_path / "nowhere", "--weights", "none", "--out", tmp_path / "out")
    said = learn(*words, "--training", "RFT(LQ)", "--strategies", strategies)
    assert "nowhere" in said.err  # the first complaint is about the folder


@pytest.mark.parametrize("command", ["labels", "finetune", "depth"])
def test_patches_too_small_for_the_network_are_refused_before_the_images(
    learn: Console, tmp_path: Path, command: str
) -> None:
    small = tmp_path / "small.toml"
    small.write_text(TOML.replace("input_px = 32", "input_px = 8"))
    words = ("--candidates", tmp_path / "nowhere", "--application", small, "--out", tmp_path / "out")
    said = learn(command, *words, *(() if command == "depth" else ("--weights", "none")))
    assert said.code == 2
    assert "squeezenet1_1 can't take patches of 8 x 8 px (input_px)" in said.err


@pytest.mark.parametrize("command", ["labels", "finetune", "depth"])
def test_weights_of_another_network_are_refused_before_the_images(learn: Console, tmp_path: Path, command: str) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(build("mobilenet_v2", 2, None, seed=0).net.state_dict(), weights)
    words = ("--candidates", tmp_path / "nowhere", "--weights", weights, "--out", tmp_path / "out")
    said = learn(command, *words)
    assert said.code == 2
    assert "weights.pth do not fit squeezenet1_1: missing" in said.err
    assert not (tmp_path / "out").exists()


def test_depth_looks_at_its_words_before_the_images(learn: Console, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(build("squeezenet1_1", 2, None, seed=0).net.state_dict(), weights)
    words = ("depth", "--candidates", tmp_path / "nowhere", "--weights", weights, "--out", tmp_path / "out")
    assert "a share is 1 to 100 per cent, got [0]" in learn(*words, "--sizes", "0").err
    assert "unknown network 'foo'" in learn(*words, "--arch", "foo").err
    random = learn(*words[:3], "--weights", "none", *words[5:])
    assert "a depth is of a pretrained network" in random.err
    assert "Left out: imagenet's" not in learn("depth", "--help").out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--depth", "deep"), "a depth is all, a number of blocks counted from the head, or search, got 'deep'"),
        (("--depth", "-1"), "got '-1'"),
        (("--depth", "9"), "squeezenet1_1 has depths 1 (the head) to 5 (everything), got 9"),
        (("--rates", "papers"), "rates papers: application dots has no [phases.first]"),
        (("--seed", "-1"), "Invalid value for '--seed'"),
    ],
)
def test_finetune_looks_at_its_words_before_the_images(
    learn: Console, dots: Path, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    common = ("--candidates", tmp_path / "nowhere", "--application", dots / "dots.toml", "--out", tmp_path / "out")
    said = learn("finetune", *common, "--weights", "none", *words)
    assert said.code == 2
    assert complaint in said.err


def test_a_parent_of_another_application_is_refused_unless_that_is_wished(
    learn: Console, dots: Path, network: Path, tmp_path: Path
) -> None:
    (tmp_path / "wide.toml").write_text(TOML.replace("context = 24.0", "context = 30.0"))
    words = ("finetune", "--candidates", dots, "--application", tmp_path / "wide.toml", "--out", tmp_path / "out")
    said = learn(*words, "--parent", network / "model.pt")
    assert said.code == 2
    assert "model.pt learnt dots, and dots cuts its patches in another way (context)" in said.err
    assert learn(*words, "--parent", network / "model.pt", "--other-application").code == 0


def test_a_parent_of_other_classes_is_refused_before_the_images(learn: Console, dots: Path, tmp_path: Path) -> None:
    (tmp_path / "three.pt").write_bytes(to_bytes(build("squeezenet1_1", 3, None, seed=0)))
    words = ("--candidates", tmp_path / "nowhere", "--application", dots / "dots.toml", "--out", tmp_path / "out")
    said = learn("finetune", *words, "--parent", tmp_path / "three.pt")
    assert "three.pt has 3 classes, application dots 2" in said.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--weights", "none"), "--parent and --weights both say what to begin with: leave one out"),
        (("--arch", "mobilenet_v2"), "model.pt is a squeezenet1_1: leave --arch mobilenet_v2 out"),
    ],
)
def test_a_parent_says_what_to_begin_with(
    learn: Console, dots: Path, network: Path, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    common = ("--candidates", tmp_path / "nowhere", "--application", dots / "dots.toml", "--out", tmp_path / "out")
    said = learn("finetune", *common, "--parent", network / "model.pt", *words)
    assert said.code == 2
    assert complaint in said.err


# export


def test_export_writes_the_application_that_the_model_learnt(learn: Console, network: Path, tmp_path: Path) -> None:
    from overread_learn.scoring import Scorer  # noqa: PLC0415 - ONNX Runtime

    said = learn("export", network / "model.pt", tmp_path / "model.onnx")
    assert said.code == 0
    assert (tmp_path / "model.onnx").read_bytes() == (network / "model.onnx").read_bytes()
    assert Scorer(tmp_path / "model.onnx").application.name == "dots"


def test_what_is_exported_is_said_for_machines(learn: Console, network: Path, tmp_path: Path) -> None:
    words = ("export", network / "model.pt", tmp_path / "model.onnx")
    digest = sha256((network / "model.onnx").read_bytes()).hexdigest()
    file = str(tmp_path / "model.onnx")
    assert learn(*words, "--json").facts == {
        "file": file,
        "sha256": digest,
        "application": "dots",
        "arch": "squeezenet1_1",
    }
    assert learn(*words).out == f"{digest}\n"


def test_export_refuses_another_application_unless_told(learn: Console, network: Path, tmp_path: Path) -> None:
    words = ("export", network / "model.pt", tmp_path / "wrong.onnx", "--application", "lung-nodule")
    said = learn(*words)
    assert said.code == 2
    assert "learnt dots, and lung-nodule cuts its patches in another way (name, patches, input_px" in said.err
    assert "--other-application" in said.err
    assert not (tmp_path / "wrong.onnx").exists()
    assert learn(*words, "--other-application").code == 0
    assert (tmp_path / "wrong.onnx").exists()


def test_export_takes_the_own_application_with_another_operating_point(
    learn: Console, network: Path, tmp_path: Path
) -> None:
    from overread_learn.scoring import Scorer  # noqa: PLC0415 - ONNX Runtime

    (tmp_path / "point.toml").write_text(TOML + "operating_point = 0.3\n")
    words = ("export", network / "model.pt", tmp_path / "model.onnx", "--application", tmp_path / "point.toml")
    assert learn(*words).code == 0
    assert Scorer(tmp_path / "model.onnx").application.operating_point == 0.3


def test_export_of_an_older_model_asks_for_its_application(learn: Console, dots: Path, tmp_path: Path) -> None:
    application = load(dots / "dots.toml")
    (tmp_path / "old.pt").write_bytes(to_bytes(build("squeezenet1_1", len(application.classes), None, seed=0)))
    words = ("export", tmp_path / "old.pt", tmp_path / "model.onnx")
    assert "name it by --application" in learn(*words).err
    assert learn(*words, "--application", dots / "dots.toml").code == 0


def test_export_says_what_is_wrong_with_its_file_or_the_network(learn: Console, network: Path, tmp_path: Path) -> None:
    model = network / "model.pt"
    assert f"{tmp_path} is a folder" in learn("export", model, tmp_path).err
    assert f"{tmp_path / 'none'}: there is no such folder" in learn("export", model, tmp_path / "none" / "m.onnx").err
    broken = from_bytes(model.read_bytes())
    with torch.no_grad():
        next(broken.parameters())[0] = torch.nan
    (tmp_path / "broken.pt").write_bytes(to_bytes(broken, application_of(model.read_bytes())))
    said = learn("export", tmp_path / "broken.pt", tmp_path / "model.onnx")
    assert said.code == 2
    assert "the network is broken: net.features.0.weight is not finite everywhere" in said.err
    assert not (tmp_path / "model.onnx").exists()


def test_export_writes_a_network_as_it_serves(learn: Console, network: Path, tmp_path: Path) -> None:
    from overread_learn.scoring import Scorer  # noqa: PLC0415 - ONNX Runtime

    content = (network / "model.pt").read_bytes()
    patches = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    found = []
    for temperature in (1.0, 4.0):
        (tmp_path / "m.pt").write_bytes(to_bytes(from_bytes(content), application_of(content), temperature=temperature))
        assert learn("export", tmp_path / "m.pt", tmp_path / "m.onnx").code == 0
        found.append(Scorer(tmp_path / "m.onnx").logits(patches))
    assert np.allclose(found[0], 4 * found[1], atol=1e-6)
