"""Score candidates with an exported network; all that the inference room needs, without torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.patches import Prepared, cut

__all__ = ["APPLICATION_KEY", "ARCH_KEY", "DigestMismatch", "NotAModel", "Scorer", "probability", "softmax"]

APPLICATION_KEY = "overread.application"
ARCH_KEY = "overread.arch"

CUDA = "CUDAExecutionProvider"


class DigestMismatch(ValueError):
    """The file is not the one that was asked for; the message names both digests."""


class NotAModel(ValueError):
    """The file is no ONNX, or not one that ``overread_learn.export`` wrote."""


class Scorer:
    """A loaded network. One instance may serve many threads.

    ``sha256`` is the file's digest, ``application`` and ``arch`` come from its metadata, ``metadata`` holds all of it,
    ``provider`` is the ONNX Runtime provider that really runs, ``precision`` that of its arithmetic, and ``embeds``
    says whether the file gives embeddings too.
    """

    def __init__(
        self,
        path: Path | bytes,
        *,
        expected_sha256: str | None = None,
        providers: Sequence[str] | None = None,
        threads: int = 1,
    ) -> None:
        """Load a model from a file or from its bytes.

        ``providers`` are ONNX Runtime's names in order of preference, the CPU when None: a GPU must be asked for, since
        it does not give the very same numbers. ``threads`` is the number within one call; several callers, each
        on one thread, do more than one caller on several.

        Raises DigestMismatch, NotAModel, FileNotFoundError, and ValueError on a provider that this ONNX Runtime lacks.
        """
        content = path if isinstance(path, bytes) else path.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        if expected_sha256 is not None and self.sha256 != expected_sha256.lower():
            raise DigestMismatch(f"the model has SHA-256 {self.sha256}, where {expected_sha256} was expected")
        self._session = _session(content, providers, threads)
        self.provider: str = self._session.get_providers()[0]
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        missing = [key for key in (APPLICATION_KEY, ARCH_KEY) if key not in self.metadata]
        if missing:
            raise NotAModel(
                f"the model lacks the metadata {', '.join(missing)}: it was not written by overread_learn.export"
            )
        self.application = Application.from_json(self.metadata[APPLICATION_KEY])
        self.arch = self.metadata[ARCH_KEY]
        self.precision = "fp32"
        self._check_graph()

    def logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network over (n, 3, s, s) patches, as `overread_learn.patches.cut` makes them; returns (n, classes).

        Raises ValueError on another shape.
        """
        return self._run(patches, ["logits"])[0]

    def embed(self, patches: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Run the network over (n, 3, s, s) patches; returns logits (n, classes) and embeddings (n, d).

        The embeddings, what entered the last layer, are None where the model was exported without them.
        Raises ValueError on another shape.
        """
        if not self.embeds:
            return self.logits(patches), None
        logits, embeddings = self._run(patches, ["logits", "embeddings"])
        return logits, embeddings

    def _run(self, patches: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        size = self.application.input_px
        if patches.ndim != 4 or patches.shape[1:] != (3, size, size):  # patch, channel, row, column
            raise ValueError(f"patches must be (n, 3, {size}, {size}), got {patches.shape}")
        if not len(patches):
            return [np.empty((0, self._widths[name]), dtype=np.float32) for name in outputs]
        found = self._session.run(list(outputs), {"patches": np.ascontiguousarray(patches, dtype=np.float32)})
        return [np.asarray(each, dtype=np.float32) for each in found]

    def score(
        self, prepared: Prepared, points: Sequence[tuple[float, float]], spacing_mm: float | None = None
    ) -> list[NDArray[np.float32]]:
        """Score the candidates at ``points``, (x, y) in source pixels; returns their logits, (m, classes) each.

        One candidate a run: on a CPU larger batches are no faster, and this one's patches are still in the cache.
        Raises ValueError on a point outside the image or a missing spacing.
        """
        return [self.logits(cut(prepared, x, y, self.application, spacing_mm)) for x, y in points]

    def _check_graph(self) -> None:
        inputs = [(tensor.name, tensor.type, tensor.shape[1:]) for tensor in self._session.get_inputs()]
        outputs = [(tensor.name, tensor.type, tensor.shape[1:]) for tensor in self._session.get_outputs()]
        size = self.application.input_px
        expected = (
            [("patches", "tensor(float)", [3, size, size])],
            [("logits", "tensor(float)", [len(self.application.classes)])],
        )
        found = (inputs, [output for output in outputs if output[0] != "embeddings"])
        if found != expected:
            raise NotAModel(f"the model takes {inputs} and gives {outputs}, where {expected} was expected")
        self._widths: dict[str, int] = {name: shape[0] for name, _, shape in outputs}
        self.embeds = "embeddings" in self._widths


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn logits, (..., classes), into probabilities, in float64."""
    wide = np.asarray(logits, dtype=np.float64)
    exponential = np.exp(wide - wide.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = exponential / exponential.sum(axis=-1, keepdims=True)
    return probabilities


def probability(logits: NDArray[np.floating]) -> float:
    """Return a candidate's score from its patches' logits, (m, 2): the mean probability of the positive class.

    Raises ValueError on another shape.
    """
    if logits.ndim != 2 or logits.shape[1] != 2 or not len(logits):  # patch, class; two classes
        raise ValueError(f"logits must be (patches, 2), got {logits.shape}")
    return float(softmax(logits)[:, 1].mean())


def _session(content: bytes, providers: Sequence[str] | None, threads: int) -> onnxruntime.InferenceSession:
    chosen = ["CPUExecutionProvider"] if providers is None else list(providers)
    unknown = sorted(set(chosen) - set(onnxruntime.get_available_providers()))
    if unknown or not chosen:
        available = ", ".join(onnxruntime.get_available_providers())
        raise ValueError(f"no such ONNX Runtime provider here: {unknown}; available are {available}")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # TF32 keeps ten bits of the mantissa: CUDA uses it unless told not to, and then "fp32" would not be true.
    settings = [{"use_tf32": "0"} if provider == CUDA else {} for provider in chosen]
    state = onnxruntime.capi.onnxruntime_pybind11_state
    try:
        return onnxruntime.InferenceSession(content, options, providers=chosen, provider_options=settings)
    except (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
    ) as error:
        raise NotAModel(f"these {len(content)} bytes are no ONNX model that can run here: {error}") from error
