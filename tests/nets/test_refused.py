"""Files that hold no network, and networks that torchvision cannot build from shapes alone: one line each."""

import io
import pickle
import random
import urllib.request
import warnings
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from overread_learn.applications import load
from overread_learn.nets import (
    Classifier,
    WeightsUnavailable,
    application_of,
    build,
    check_input,
    from_bytes,
    temperature_of,
    to_bytes,
)
from overread_learn.nets.weights import imagenet, read, unpack

FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "regnet_x_400mf",
    "regnet_y_128gf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vit_h_14",
]


def saved(what: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(what, buffer, **options)
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch would rather be asked otherwise
        torch.jit.save(torch.jit.script(nn.Linear(1, 1)), buffer)
    return buffer.getvalue()


def one_line(error: pytest.ExceptionInfo[ValueError]) -> str:
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 600
    return said


# Networks


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_network_of_every_family_is_checked_by_its_shapes(arch: str) -> None:
    check_input(arch, 2, 224)


def test_the_families_are_all_that_torchvision_has() -> None:
    known = torchvision.models.list_models(module=torchvision.models)
    stems = {name.replace("resnext", "resnet").replace("wide_resnet", "resnet")[:4] for name in known}
    assert stems == {name[:4] for name in FAMILIES} | {"goog"}, "GoogLeNet is refused: see test_classifier"


def test_shapes_alone_are_those_of_the_network() -> None:
    check_input("regnet_y_400mf", 3, 32)
    real = Classifier("regnet_y_400mf", 3).eval()
    assert {value.device.type for value in real.state_dict().values()} == {"cpu"}
    assert real(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


# Files


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no weights at all",
        b"PK\x03\x04 broken zip",
        pickle.dumps({"a": 1}),
        saved({"model": nn.Linear(1, 1)}),
        saved({"a": torch.ones(3)})[:-40],
        saved({"a": torch.ones(3)}, _use_new_zipfile_serialization=False)[:-2],
        scripted(),
    ],
    ids=["empty", "text", "zip", "pickle", "code", "cut", "old and cut", "script"],
)
def test_a_wrong_file_is_named_in_a_line_of_our_own(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} is not .*: needed is a state_dict, as torch\.save") as caught:
        read(path)
    said = [one_line(caught)]
    for reading in (from_bytes, application_of):
        with pytest.raises(
            ValueError, match=r"model\.pt is not .*: needed is a model\.pt, as `overread-learn"
        ) as caught:
            reading(content, "build/model.pt")
        said.append(one_line(caught))
    assert not any(word in line for line in said for word in ("weights_only", "issue", "operand", "torch.load"))


def test_whatever_breaks_in_a_file_is_no_traceback() -> None:
    draw = random.Random(1)  # noqa: S311 - to be repeated
    whole = [saved({"a": torch.ones(3), "b": {"c": 1}}, _use_new_zipfile_serialization=new) for new in (True, False)]
    broken = 0
    for content in whole:
        for _ in range(1000):
            bad = bytearray(content)
            for _ in range(draw.randint(1, 6)):
                bad[draw.randrange(len(bad))] = draw.randrange(256)
            try:
                unpack(bytes(bad), "it")
            except ValueError as error:
                broken += str(error).startswith(("it is not in PyTorch's format", "it is damaged"))
    assert broken > 1000


@pytest.mark.parametrize("state", [{1: torch.ones(1)}, {"a": 1}, [torch.ones(1)], {("a",): torch.ones(1)}])
def test_a_state_dict_maps_names_to_tensors(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth is no state_dict") as caught:
        read(tmp_path / "weights.pth")
    one_line(caught)
    with pytest.raises(ValueError, match=r"model\.pt lacks its arch, classes or state_dict: needed is a model\.pt"):
        from_bytes(saved({"arch": "resnet18", "classes": 2, "state_dict": state}), "model.pt")


def test_another_networks_weights_are_a_line_and_not_one_a_tensor(tmp_path: Path) -> None:
    torch.save(Classifier("resnet34", 2).net.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(
        ValueError, match=r"do not fit resnet50: layer1\.0\.conv1\.weight is \(64, 64, 3, 3\)"
    ) as caught:
        build("resnet50", 2, tmp_path / "weights.pth", seed=0)
    assert one_line(caught).endswith("more")
    theirs = {**Classifier("squeezenet1_1", 2).state_dict()}
    with pytest.raises(ValueError, match=r"model\.pt does not hold the weights of resnet18: missing .* more") as caught:
        from_bytes(saved({"arch": "resnet18", "classes": 2, "state_dict": theirs}), Path("model.pt"))
    one_line(caught)
    with pytest.raises(
        ValueError, match=r"classifier\.1\.weight is \(2, 512, 1, 1\) rather than \(3, 512, 1, 1\) and 1"
    ):
        from_bytes(saved({"arch": "squeezenet1_1", "classes": 3, "state_dict": theirs}))


@pytest.mark.parametrize("classes", [10**12, 1001])
def test_more_classes_than_any_layer_has_outputs_are_refused_before_it_is_built(classes: int) -> None:
    theirs = {**Classifier("squeezenet1_1", 2).state_dict()}
    with pytest.raises(ValueError, match=rf"model\.pt has no layer of {classes} classes"):
        from_bytes(saved({"arch": "squeezenet1_1", "classes": classes, "state_dict": theirs}), "model.pt")


def test_a_damaged_network_is_refused() -> None:
    content = bytearray(to_bytes(build("squeezenet1_1", 2, None, seed=0)))
    content[len(content) // 2] ^= 0x40
    with pytest.raises(ValueError, match=r"^model\.pt is damaged: .* does not match its checksum$"):
        from_bytes(bytes(content), "model.pt")


def test_the_temperature_is_kept_and_the_weights_are_as_they_are() -> None:
    model = build("squeezenet1_1", 2, None, seed=0)
    content = to_bytes(model, temperature=2.5)
    assert (temperature_of(content), temperature_of(to_bytes(model))) == (2.5, 1)
    kept = from_bytes(content).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    for wrong in (0.0, -1.0, float("nan"), "hot"):
        with pytest.raises(ValueError, match=r"model\.pt has the temperature .*, where a number above 0 is needed"):
            temperature_of(saved({"temperature": wrong}), "model.pt")


def test_weights_from_before_batch_norms_counted_still_load(tmp_path: Path) -> None:
    state = Classifier("resnet18", 2).net.state_dict()
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "weights.pth")
    loaded = build("resnet18", 2, tmp_path / "weights.pth", seed=0).net.state_dict()
    assert torch.equal(loaded["conv1.weight"], old["conv1.weight"])


def test_a_model_names_its_source_whatever_is_wrong_in_it() -> None:
    with pytest.raises(ValueError, match=r"model\.pt: unknown network 'alexandria'"):
        from_bytes(saved({"arch": "alexandria", "classes": 2, "state_dict": {}}), "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt: application: not JSON"):
        application_of(saved({"application": "{"}), "model.pt")
    document = load("polyp").to_json().replace('"gamma": 0.95, "geometry"', '"gamma": Infinity, "geometry"')
    with pytest.raises(ValueError, match=r"model\.pt: JSON: gamma: finite numbers only"):
        application_of(saved({"application": document}), "model.pt")
    content = to_bytes(build("squeezenet1_1", 2, None, seed=0), load("polyp"))
    assert application_of(content, "model.pt") == load("polyp")
    assert from_bytes(content, "model.pt").arch == "squeezenet1_1"


def test_a_download_that_breaks_off_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise IncompleteRead(b"half")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda _, timeout: Answer() if timeout else None)
    with pytest.raises(WeightsUnavailable, match=r"no ImageNet weights from .*IncompleteRead"):
        imagenet("squeezenet1_1")
    assert not list(tmp_path.rglob("*.pth"))
