"""Write a network as ONNX, with all that scoring needs to know inside the file."""

import copy
import hashlib
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from overread_learn.applications import Application
from overread_learn.export.pooling import with_fixed_pools
from overread_learn.files import write_whole
from overread_learn.nets.classifier import Classifier, check_input
from overread_learn.scoring import APPLICATION_KEY, ARCH_KEY, Scorer, softmax

__all__ = ["export", "parity"]

OPSET = 17


def export(model: Classifier, application: Application, path: Path, *, extra: Mapping[str, str]) -> str:
    """Write ``model`` as ONNX to ``path`` and return the file's SHA-256.

    Input ``patches`` is (n, 3, s, s) float32 with s the application's ``input_px`` and n free; output ``logits`` is
    (n, classes), output ``embeddings`` (n, d) what entered the last layer. The metadata carry the application as JSON,
    the network's name, and ``extra``. The file appears whole or not at all: it is written beside its place, flushed to
    the disk, and renamed.

    Raises ValueError where ``extra`` uses a name that is taken, the network has other classes than the application, it
    can't take patches of the application's size, or a weight is not finite.
    """
    taken = sorted({APPLICATION_KEY, ARCH_KEY} & extra.keys())
    if taken:
        raise ValueError(f"extra metadata may not use {', '.join(taken)}")
    if model.classes != len(application.classes):
        raise ValueError(
            f"the network has {model.classes} classes, application {application.name} {len(application.classes)}"
        )
    check_input(model.arch, model.classes, application.input_px)
    broken = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(f"the network is broken: {broken[0]} is not finite everywhere")
    graph = _traced(model, application.input_px)
    onnx.helper.set_model_props(graph, {**extra, APPLICATION_KEY: application.to_json(), ARCH_KEY: model.arch})
    content: bytes = graph.SerializeToString()
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def parity(model: Classifier, path: Path, patches: NDArray[np.float32]) -> float:
    """Return the largest difference between PyTorch's and ONNX Runtime's probabilities over (n, 3, s, s) patches."""
    still = copy.deepcopy(model).cpu().eval()
    with torch.inference_mode():
        ours = softmax(still(torch.from_numpy(patches)).numpy())
    return float(np.abs(ours - softmax(Scorer(path).logits(patches))).max())


class _Outputs(nn.Module):
    """The network as the file shall have it: a tracer asks for ``forward`` alone."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model.embed(patches)


def _traced(model: Classifier, size: int) -> onnx.ModelProto:
    # Two patches: tracing one would let the exporter take the batch for a constant.
    example = torch.zeros(2, 3, size, size)
    still = with_fixed_pools(_Outputs(copy.deepcopy(model).cpu()).eval(), example)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "traced.onnx"
        # The newer exporter needs onnxscript, a package that nothing else here uses.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            still,
            (example,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["patches"],
            output_names=["logits", "embeddings"],
            dynamic_axes={"patches": {0: "n"}, "logits": {0: "n"}, "embeddings": {0: "n"}},
        )
        return onnx.load(path)
