import hashlib
import io
import re
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn

from overread_learn.applications import load
from overread_learn.nets import (
    Classifier,
    WeightsUnavailable,
    application_of,
    build,
    check_input,
    from_bytes,
    parameters_by_role,
    to_bytes,
)
from overread_learn.nets.weights import imagenet

PATCHES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def equal(one: Classifier, two: Classifier) -> bool:
    theirs = two.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize(
    ("arch", "head"),
    [
        ("squeezenet1_1", "classifier.1"),
        ("mobilenet_v2", "classifier.1"),
        ("resnet18", "fc"),
        ("vit_b_16", "heads.head"),
    ],
)
def test_heads_of_torchvisions_families(arch: str, head: str) -> None:
    model = Classifier(arch, 3)
    assert model.head == head
    trunk, last = parameters_by_role(model)
    assert set(last) == {f"net.{head}.weight", f"net.{head}.bias"}
    assert trunk.keys() | last.keys() == dict(model.named_parameters()).keys()
    assert last[f"net.{head}.weight"].shape[0] == 3
    assert not last[f"net.{head}.bias"].any()
    if arch != "vit_b_16":
        assert model.eval()(PATCHES).shape == (3, 3)


def test_squeezenets_logits_may_be_negative() -> None:
    assert (build("squeezenet1_1", 2, None, seed=0)(100 * PATCHES) < 0).any()


def test_seed_decides_and_leaves_the_global_one_alone() -> None:
    state = torch.get_rng_state()
    one = build("resnet18", 2, None, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(one, build("resnet18", 2, None, seed=1))
    assert not equal(one, build("resnet18", 2, None, seed=2))


@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18"])
def test_weights_by_file_keep_the_trunk_and_renew_the_head(tmp_path: Path, arch: str) -> None:
    pretrained = Classifier(arch, 1000)
    torch.save(pretrained.net.state_dict(), tmp_path / "weights.pth")
    one, two = (build(arch, 2, tmp_path / "weights.pth", seed=seed) for seed in (1, 2))
    for role, same in zip((0, 1), (True, False), strict=True):
        ours, theirs = parameters_by_role(one)[role], parameters_by_role(two)[role]
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items() if "weight" in name) is same
    trunk = parameters_by_role(pretrained)[0]
    assert all(torch.equal(value, trunk[name]) for name, value in parameters_by_role(one)[0].items())


def test_densenets_published_weights_have_older_names(tmp_path: Path) -> None:
    published = Classifier("densenet121", 1000)
    old = {
        re.sub(r"(denselayer\d+\.[a-z]+)(\d)", r"\1.\2", name): value
        for name, value in published.net.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert "features.transition1.norm.weight" in old
    torch.save(old, tmp_path / "densenet.pth")
    loaded = build("densenet121", 2, tmp_path / "densenet.pth", seed=0)
    head = set(parameters_by_role(loaded)[1])
    theirs = published.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in loaded.state_dict().items() if name not in head)


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save(Classifier("resnet18", 2).net.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"do not fit squeezenet1_1: missing \['features"):
        build("squeezenet1_1", 2, tmp_path / "weights.pth", seed=0)
    with pytest.raises(ValueError, match="do not fit resnet34: missing"):
        build("resnet34", 2, tmp_path / "weights.pth", seed=0)
    with pytest.raises(ValueError, match="do not fit resnet50"):
        build("resnet50", 2, tmp_path / "weights.pth", seed=0)


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 broken zip"])
def test_files_that_are_no_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pth is not in PyTorch's format"):
        build("squeezenet1_1", 2, tmp_path / "weights.pth", seed=0)
    with pytest.raises(ValueError, match="not in PyTorch's format"):
        from_bytes(content)


def test_files_that_hold_code_are_not_run(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="not in PyTorch's format"):
        build("squeezenet1_1", 2, tmp_path / "weights.pth", seed=0)
    torch.save({"epoch": 3}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="is no state_dict"):
        build("squeezenet1_1", 2, tmp_path / "weights.pth", seed=0)
    with pytest.raises(FileNotFoundError):
        build("squeezenet1_1", 2, tmp_path / "absent.pth", seed=0)


@pytest.mark.parametrize(
    ("arch", "classes", "complaint"),
    [("alexandria", 2, "unknown network 'alexandria'"), ("resnet18", 1, "two classes"), ("googlenet", 2, "auxiliary")],
)
def test_what_cannot_be_built(arch: str, classes: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build(arch, classes, None, seed=0)


@pytest.mark.parametrize(
    ("arch", "input_px", "complaint"),
    [
        ("squeezenet1_1", 8, r"squeezenet1_1 can't take patches of 8 x 8 px \(input_px\)"),
        ("vit_b_16", 64, "Expected 224 but got 64"),
        ("alexandria", 64, "unknown network"),
    ],
)
def test_patches_that_a_network_cannot_take(arch: str, input_px: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_input(arch, 2, input_px)


@pytest.mark.parametrize(("arch", "input_px"), [("squeezenet1_1", 17), ("resnet18", 8), ("vit_b_16", 224)])
def test_patches_that_a_network_can_take(arch: str, input_px: int) -> None:
    check_input(arch, 2, input_px)


def test_bytes_and_back() -> None:
    model = build("squeezenet1_1", 2, None, seed=4)
    model.to(memory_format=torch.channels_last)
    restored = from_bytes(to_bytes(model))
    assert (restored.arch, restored.classes, restored.training) == ("squeezenet1_1", 2, False)
    assert equal(model, restored)


def test_bytes_know_the_application_that_was_learnt() -> None:
    model, application = build("squeezenet1_1", 2, None, seed=4), load("lung-nodule")
    content = to_bytes(model, application)
    found = application_of(content)
    assert found is not None
    assert found.to_json() == application.to_json()
    assert equal(model, from_bytes(content))
    assert application_of(to_bytes(model)) is None, "older files say nothing"
    with pytest.raises(ValueError, match="not in PyTorch's format"):
        application_of(b"no network")


def test_bytes_of_something_else() -> None:
    for stored, complaint in (
        ({"arch": "resnet18"}, "lacks its arch, classes or state_dict"),
        ({"arch": "resnet18", "classes": 2, "state_dict": {}}, "does not hold the weights of resnet18"),
    ):
        buffer = io.BytesIO()
        torch.save(stored, buffer)
        with pytest.raises(ValueError, match=complaint):
            from_bytes(buffer.getvalue())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path


def test_no_network_is_said(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def unreachable(_: str, timeout: float) -> None:
        limits.append(timeout)
        raise URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(WeightsUnavailable, match=r"squeezenet1_1-.*no route"):
        build("squeezenet1_1", 2, "imagenet", seed=0)
    assert limits == [10]
    assert not list(hub.rglob("*.pth"))


def test_a_download_is_checked_and_kept(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(1)}, buffer)
    content = buffer.getvalue()
    served: list[str] = []

    def serve(url: str, timeout: float) -> Any:
        served.append(f"{url} {timeout}")
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    with pytest.raises(WeightsUnavailable, match=r"came with SHA-256 [0-9a-f]{64}, where b8a52dc0"):
        imagenet("squeezenet1_1")
    assert not list(hub.rglob("*"))

    class Weights:
        class DEFAULT:
            url = f"https://download.example/net-{hashlib.sha256(content).hexdigest()[:8]}.pth"

    monkeypatch.setattr("torchvision.models.get_model_weights", lambda _: Weights)
    assert torch.equal(imagenet("net")["a"], torch.ones(1))
    assert torch.equal(imagenet("net")["a"], torch.ones(1))
    assert len(served) == 2  # one that was refused, one that was kept
