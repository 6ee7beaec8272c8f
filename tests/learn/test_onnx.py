import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from overread_learn import files
from overread_learn.applications import load
from overread_learn.export import export, parity
from overread_learn.nets import build
from overread_learn.scoring import Scorer

APPLICATION = replace(load("lung-nodule"), input_px=32)
PATCHES = np.random.default_rng(0).normal(size=(7, 3, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v2", "resnet18"])
def test_onnx_says_what_pytorch_says(tmp_path: Path, arch: str) -> None:
    torch.manual_seed(0)
    model = build(arch, 2, None, seed=1)
    with torch.no_grad():
        for _ in range(20):  # batch norm learns its statistics: without them an untrained MobileNet ends in zeros
            model.train()(torch.from_numpy(PATCHES))
    torch.nn.init.normal_(model.net.get_parameter(f"{model.head}.weight"), std=0.3)
    digest = export(model, APPLICATION, tmp_path / "model.onnx", extra={"round": "3"})
    assert digest == hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert parity(model, tmp_path / "model.onnx", PATCHES) <= 1e-4
    # Another head says something else, so the comparison can fail: classes swapped, should it be sure of itself, and
    # moved, should it be in doubt.
    with torch.no_grad():
        model.net.get_parameter(f"{model.head}.weight").copy_(model.net.get_parameter(f"{model.head}.weight").flip(0))
        model.net.get_parameter(f"{model.head}.bias")[1] += 1.0
    assert parity(model, tmp_path / "model.onnx", PATCHES) > 1e-2


def test_a_network_in_training_is_exported_still_and_stays_in_training(tmp_path: Path) -> None:
    model = build("squeezenet1_1", 2, None, seed=1).train()
    export(model, APPLICATION, tmp_path / "model.onnx", extra={})
    assert model.training
    assert parity(model, tmp_path / "model.onnx", PATCHES) <= 1e-4
    assert "Dropout" not in {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}


def test_the_file_is_valid_and_free_in_its_batch(exported: tuple[Path, str]) -> None:
    graph = onnx.load(exported[0])
    onnx.checker.check_model(graph)
    assert graph.opset_import[0].version >= 17
    (batch, *rest) = graph.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param == "n"
    assert [size.dim_value for size in rest] == [3, 32, 32]
    assert {prop.key: prop.value for prop in graph.metadata_props} == {
        "overread.application": APPLICATION.to_json(),
        "overread.arch": "squeezenet1_1",
        "parent": "none",
    }


def test_equal_networks_give_equal_files(tmp_path: Path) -> None:
    digests = {
        export(build("squeezenet1_1", 2, None, seed=1), APPLICATION, tmp_path / name, extra={}) for name in ("a", "b")
    }
    assert len(digests) == 1


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        export(build("squeezenet1_1", 2, None, seed=1), APPLICATION, path, extra={})
    assert path.read_bytes() == b"the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"may not use overread\.arch"):
        export(build("squeezenet1_1", 2, None, seed=1), APPLICATION, tmp_path / "a", extra={"overread.arch": "x"})
    with pytest.raises(ValueError, match="3 classes, application lung-nodule 2"):
        export(build("squeezenet1_1", 3, None, seed=1), APPLICATION, tmp_path / "a", extra={})
    small = replace(APPLICATION, input_px=8, shifts=((0.0, 0.0),))
    with pytest.raises(ValueError, match="can't take patches of 8 x 8 px"):
        export(build("squeezenet1_1", 2, None, seed=1), small, tmp_path / "a", extra={})


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v2"])
def test_the_embedding_is_what_the_last_layer_makes_logits_of(tmp_path: Path, arch: str) -> None:
    model = build(arch, 2, None, seed=1)
    export(model, APPLICATION, tmp_path / "model.onnx", extra={})
    logits, embeddings = Scorer(tmp_path / "model.onnx").embed(PATCHES)
    assert embeddings is not None
    weight = model.net.get_parameter(f"{model.head}.weight").detach().numpy().reshape(2, -1)
    bias = model.net.get_parameter(f"{model.head}.bias").detach().numpy()
    assert embeddings @ weight.T + bias == pytest.approx(logits, abs=1e-5)
