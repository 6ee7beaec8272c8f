"""Weights from a file, or ImageNet's as torchvision publishes them, downloaded once into torch's own cache."""

import hashlib
import pickle
import re
import struct
import urllib.request
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import TypeGuard

import torch
import torchvision

from overread_learn.files import write_whole

__all__ = ["WeightsUnavailable", "cached", "imagenet", "is_state_dict", "read", "unpack"]

TIMEOUT_S = 10
"""A download that is silent for this long counts as no network."""

OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""DenseNet's published weights are older than torchvision's names: ``norm.1.weight`` is ``norm1.weight`` there now."""


class WeightsUnavailable(OSError):
    """The weights could not be had: no network, no such file upstream, or a download whose digest is wrong."""


def imagenet(arch: str) -> Mapping[str, torch.Tensor]:
    """Return torchvision's default ImageNet weights of a network, from torch's cache or by download.

    Raises WeightsUnavailable where there is no network or what came is not what torchvision published.
    """
    return read(cached(arch))


def cached(arch: str) -> Path:
    """Return the file of torchvision's default ImageNet weights, downloaded if need be; errors as `imagenet`."""
    url = torchvision.models.get_model_weights(arch).DEFAULT.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.exists():
        _download(url, file)
    return Path(file)


def read(path: Path) -> Mapping[str, torch.Tensor]:
    """Read a state_dict without running any code that the file may carry, under the names that torchvision has today.

    Raises FileNotFoundError where there is no file, ValueError where it holds something else.
    """
    state = unpack(path.read_bytes(), str(path), "a state_dict, as torch.save writes it")
    if not is_state_dict(state):
        raise ValueError(f"{path} is no state_dict: a mapping from names to tensors is needed")
    return {OLD_DENSENET.sub(r"\1\2", name): value for name, value in state.items()}


def is_state_dict(found: object) -> TypeGuard[Mapping[str, torch.Tensor]]:
    """Say whether something is a mapping from names to tensors."""
    return isinstance(found, Mapping) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    )


def unpack(content: bytes, what: str, wanted: str = "tensors in plain containers, as torch.save writes them") -> object:
    """Return what ``torch.save`` wrote, tensors on the CPU; only tensors and plain containers are let in.

    Raises ValueError, which calls the content ``what`` and says that ``wanted`` is needed, where it is anything else,
    and where a part of it is not as it was written: torch itself does not look at the checksums.
    """
    _check_sums(content, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that of a TorchScript archive, which is refused
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    # torch raises a different type for each way in which a file can be wrong. What it says is left out: it takes
    # several lines, some of which advise to run whatever code the file holds.
    except (
        AssertionError,
        AttributeError,
        EOFError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
        struct.error,
    ) as error:
        raise ValueError(
            f"{what} is not in PyTorch's format, or holds more than tensors: needed is {wanted}"
        ) from error


def _check_sums(content: bytes, what: str) -> None:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, OSError, RuntimeError, ValueError):
        return  # an older format, or what torch can't read either and says so
    if damaged is not None:
        raise ValueError(f"{what} is damaged: {damaged} in it does not match its checksum")


def _download(url: str, target: Path) -> None:
    # torchvision puts the first digits of the file's SHA-256 into its name.
    expected = target.stem.rpartition("-")[2]
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - torchvision's own https address
            content = answer.read()
    except (OSError, HTTPException) as error:  # the second where an answer breaks off
        raise WeightsUnavailable(
            f"no ImageNet weights from {url} ({error}); give a file of weights, or start without"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(expected):
        raise WeightsUnavailable(f"{url} came with SHA-256 {found}, where {expected}... was expected")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Another process may be doing the same: the last rename wins.
    write_whole(target, content)
