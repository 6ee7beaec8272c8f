"""A training under way, on disk: killed after any epoch, it goes on to the very same weights."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from overread_learn.files import write_whole
from overread_learn.finetune.predict import device_of
from overread_learn.finetune.terms import EpochReport, Recipe, Samples, Validation
from overread_learn.nets.classifier import Classifier
from overread_learn.nets.weights import unpack

__all__ = ["Checkpoint", "OtherTraining", "Training", "identity", "resume_threads"]


class OtherTraining(ValueError):
    """The checkpoint is of another recipe, other data or start weights, or none at all; the message says which."""


@dataclass
class Training:
    """All that the next epoch depends on, beside torch's own generators."""

    model: Classifier
    optimizer: torch.optim.SGD
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator
    """Order and augmentation."""
    history: list[EpochReport] = field(default_factory=list)
    best_state: dict[str, Any] = field(default_factory=dict)
    """The state_dict after the best epoch so far."""


def identity(model: Classifier, train: Samples, validation: Validation | None, recipe: Recipe) -> dict[str, str]:
    """Return what makes a training this one and no other: its recipe, and digests of its data and of where it starts.

    The data's digest is over the labels, one patch drawn of each candidate by a generator of its own (what an epoch's
    drawing costs), and the validation patches. That of the start covers what is frozen.
    """
    rng = np.random.default_rng(0)
    data = hashlib.sha256(np.asarray(train.labels, np.int64).tobytes())
    for index in range(len(train)):
        data.update(train.draw(index, rng).tobytes())
    for patches, label in zip(*validation, strict=True) if validation else ():
        data.update(f"{patches.shape} {int(label)}".encode() + patches.tobytes())
    start = hashlib.sha256()
    for name, value in model.state_dict(keep_vars=True).items():
        start.update(f"{name} {tuple(value.shape)} {value.requires_grad}".encode())
        start.update(value.detach().cpu().contiguous().numpy().tobytes())
    return {
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
        "data": data.hexdigest(),
        "start weights": start.hexdigest(),
    }


def resume_threads(path: Path | None) -> None:
    """Let torch use as many threads as the training in a checkpoint had begun with, where there is one.

    Another number adds in another order: the weights would be those of no training. `Checkpoint.restore` does it, too;
    this is for who computes before. Raises OtherTraining where the file can't be read.
    """
    if path is not None and path.exists():
        _use_threads(_read(path))


class Checkpoint:
    """The file of one training."""

    def __init__(self, path: Path, identity: dict[str, str]) -> None:
        """Keep the training of that `identity` in the file ``path``, whose folder exists."""
        self._path = path
        self._identity = identity

    def save(self, training: Training) -> None:
        """Replace the file by where the training stands now; whoever reads it sees the old or the new one, whole."""
        buffer = BytesIO()
        torch.save(
            {
                "identity": self._identity,
                "model": training.model.state_dict(),
                "optimizer": training.optimizer.state_dict(),
                "schedule": training.schedule.state_dict(),
                "rng": json.dumps(training.rng.bit_generator.state),
                "torch": torch.get_rng_state(),
                "threads": torch.get_num_threads(),
                "cuda": torch.cuda.get_rng_state_all() if device_of(training.model).type == "cuda" else [],
                "history": [list(asdict(report).values()) for report in training.history],
                "best": training.best_state,
            },
            buffer,
        )
        write_whole(self._path, buffer.getvalue())

    def restore(self, training: Training) -> None:
        """Bring a training that has just begun to where the file says; no file, no change.

        Sets torch's generators and its number of threads too. Raises OtherTraining.
        """
        if not self._path.exists():
            return
        match _read(self._path):
            case {"identity": dict(theirs), **rest}:
                others = [part for part, value in self._identity.items() if theirs.get(part) != value]
            case _:
                raise OtherTraining(f"{self._path} is no checkpoint")
        if others:
            raise OtherTraining(
                f"the checkpoint {self._path} is of another training, by its {' and its '.join(others)}: "
                "remove it, or name another file"
            )
        try:
            _bring(training, rest)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise OtherTraining(
                f"the checkpoint {self._path} lacks a part, or holds it wrong: remove it, or name another file"
            ) from error


def _bring(training: Training, found: dict[Any, Any]) -> None:
    """Put what a checkpoint holds into a training, and into torch's generators and threads."""
    training.model.load_state_dict(found["model"])
    training.optimizer.load_state_dict(found["optimizer"])
    training.schedule.load_state_dict(found["schedule"])
    training.rng.bit_generator.state = json.loads(found["rng"])
    training.history.extend(EpochReport(*report) for report in found["history"])
    training.best_state = dict(found["best"])
    torch.set_rng_state(found["torch"])
    _use_threads(found)
    if found["cuda"]:
        torch.cuda.set_rng_state_all(found["cuda"])


def _read(path: Path) -> object:
    try:
        return unpack(path.read_bytes(), str(path))
    except ValueError as error:
        raise OtherTraining(f"{error}; remove it, or name another file") from error


def _use_threads(kept: Any) -> None:
    """Set torch's threads to those of a checkpoint; an older one doesn't say."""
    match kept:
        case {"threads": int(threads)} if threads > 0:
            torch.set_num_threads(threads)
