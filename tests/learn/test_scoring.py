import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from overread_learn.applications import load
from overread_learn.patches import cut, prepare
from overread_learn.scoring import DigestMismatch, NotAModel, Scorer, probability

APPLICATION = replace(load("lung-nodule"), input_px=32)
SLICES = np.random.default_rng(0).integers(-1000, 400, (100, 120, 3)).astype(np.int16)
POINTS = [(60.0, 50.0), (3.0, 97.5), (119.0, 0.0)]


def test_a_scorer_knows_its_model(exported: tuple[Path, str]) -> None:
    path, digest = exported
    for source in (path, path.read_bytes()):
        scorer = Scorer(source, expected_sha256=digest.upper())
        assert scorer.sha256 == digest
        assert scorer.application == APPLICATION
        assert (scorer.arch, scorer.metadata["parent"]) == ("squeezenet1_1", "none")
        assert (scorer.provider, scorer.precision) == ("CPUExecutionProvider", "fp32")


def test_scores_are_the_logits_of_the_cut_patches(exported: tuple[Path, str]) -> None:
    scorer = Scorer(exported[0])
    prepared = prepare(SLICES, APPLICATION)
    scored = scorer.score(prepared, POINTS, spacing_mm=0.7)
    assert [array.shape for array in scored] == [(8, 2)] * 3
    assert scored[0].dtype == np.float32
    for (x, y), array in zip(POINTS, scored, strict=True):
        assert np.allclose(array, scorer.logits(cut(prepared, x, y, APPLICATION, 0.7)), atol=1e-6)
    assert not np.allclose(scored[0], scored[1], atol=1e-6)
    assert scorer.score(prepared, []) == []


def test_many_threads_share_one_scorer(exported: tuple[Path, str]) -> None:
    scorer = Scorer(exported[0])
    patches = np.random.default_rng(0).normal(size=(40, 3, 32, 32)).astype(np.float32)
    expected = scorer.logits(patches)
    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(lambda index: scorer.logits(patches[index : index + 1]), range(40)))
    assert np.allclose(np.concatenate(parts), expected, atol=1e-5)


def test_no_patches_no_logits(exported: tuple[Path, str]) -> None:
    assert Scorer(exported[0]).logits(np.empty((0, 3, 32, 32), np.float32)).shape == (0, 2)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 3, 64, 64), (1, 1, 32, 32)])
def test_patches_of_another_shape(exported: tuple[Path, str], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"patches must be \(n, 3, 32, 32\)"):
        Scorer(exported[0]).logits(np.zeros(shape, np.float32))


def test_another_file_than_the_expected(exported: tuple[Path, str]) -> None:
    with pytest.raises(DigestMismatch, match=f"{exported[1]}, where {'0' * 64} was"):
        Scorer(exported[0], expected_sha256="0" * 64)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07" * 50])
def test_a_file_that_is_no_onnx(content: bytes) -> None:
    with pytest.raises(NotAModel, match=f"{len(content)} bytes are no ONNX"):
        Scorer(content)


def test_an_onnx_of_somebody_else(exported: tuple[Path, str]) -> None:
    graph = onnx.load(exported[0])
    del graph.metadata_props[:]
    with pytest.raises(NotAModel, match=r"lacks the metadata overread\.application, overread\.arch"):
        Scorer(graph.SerializeToString())


def test_metadata_that_contradict_the_graph(exported: tuple[Path, str]) -> None:
    graph = onnx.load(exported[0])
    metadata = {prop.key: prop.value for prop in graph.metadata_props}
    metadata["overread.application"] = load("lung-nodule").to_json()
    onnx.helper.set_model_props(graph, metadata)
    with pytest.raises(NotAModel, match=r"\[3, 32, 32\].*where .*\[3, 64, 64\]"):
        Scorer(graph.SerializeToString())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Scorer(tmp_path / "model.onnx")


@pytest.mark.parametrize("providers", [["AbacusExecutionProvider"], []])
def test_a_provider_that_is_not_there(exported: tuple[Path, str], providers: list[str]) -> None:
    with pytest.raises(ValueError, match=r"available are .*CPUExecutionProvider"):
        Scorer(exported[0], providers=providers)


def test_probability_is_the_mean_over_patches() -> None:
    assert probability(np.log([[0.2, 0.8], [0.6, 0.4]])) == pytest.approx(0.6)
    assert probability(np.array([[-1e4, 1e4]])) == 1
    with pytest.raises(ValueError, match=r"\(patches, 2\), got \(2,\)"):
        probability(np.zeros(2))
    with pytest.raises(ValueError, match=r"\(0, 2\)"):
        probability(np.zeros((0, 2)))


def test_inference_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in {'torch', 'torchvision', 'onnx', 'overread'}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import overread_learn.scoring, overread_learn.acquisition, overread_learn.patches, overread_learn.evaluate"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
