"""The folder of one training: its checkpoints while it is under way, and what it came to when it is done."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from overread_learn.depth import Held, Row, finetune_last, search
from overread_learn.finetune import EpochReport, Fitted, Recipe, Samples
from overread_learn.finetune.checkpoint import identity
from overread_learn.nets import Classifier
from overread_learn.nets.blocks import span

__all__ = ["SEARCH", "Depth", "TrainingFolder", "depth_of"]

SEARCH: Literal["search"] = "search"
Depth = int | Literal["search"] | None
"""Blocks counted from the head; what a search takes; all layers, which every network has."""


def depth_of(text: str) -> Depth:
    """Read ``all``, a number of blocks, or ``search``. Raises ValueError on anything else."""
    if text == "all":
        return None
    if text == SEARCH:
        return SEARCH
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"a depth is all, a number of blocks counted from the head, or search, got {text!r}")
    return int(text)


@dataclass(frozen=True)
class TrainingFolder:
    """A training of ``model`` at a depth; what is done is never written over, what was broken off is gone on with."""

    folder: Path
    model: Classifier
    depth: Depth

    def __post_init__(self) -> None:
        """Refuse a depth that the network does not have."""
        if self.depth is not None:
            span(self.model, 1 if self.depth == SEARCH else self.depth)

    @property
    def facts(self) -> Path:
        """Where it says what it came to."""
        return self.folder / "finetune.json"

    def check(self, *, resume: bool) -> None:
        """Raise ValueError where something stands in the folder that nobody asked to go on with, or nobody can."""
        own = [path for path in (self.facts, *self._checkpoints()) if path.exists()]
        networks = [path for path in (self.folder / "model.pt", self.folder / "model.onnx") if path.exists()]
        if own and not resume:
            raise ValueError(f"{own[0]} is there: go on with --resume, or name another --out")
        if networks and not own:
            raise ValueError(
                f"{networks[0]} is there, and no {self.facts.name} says of what training: name another --out"
            )

    def identity(self, samples: Samples, validation: Held, recipe: Recipe) -> str:
        """Return what makes the training this one and no other: a digest of its terms, its data and its start."""
        own = {**identity(self.model, samples, validation[:2], recipe), "depth": self.depth}
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()

    def done(self, training: str) -> dict[str, Any] | None:
        """Return what it came to, without its history and its patients; None where it is still to be done.

        Raises ValueError where what is done there is another training.
        """
        if not self.facts.exists():
            return None
        try:
            kept = json.loads(self.facts.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self.facts} is no JSON; name another --out") from error
        if not isinstance(kept, dict) or kept.get("training") != training:
            raise ValueError(f"{self.facts} is of another training, which is done; name another --out")
        return {name: value for name, value in kept.items() if name not in {"history", "patients"}}

    def fit(
        self,
        samples: Samples,
        validation: Held,
        recipe: Recipe,
        on_epoch: Callable[[EpochReport], None],
        on_row: Callable[[Row], None],
    ) -> tuple[Fitted, dict[str, Any]]:
        """Train, after a search where one is wished; return the network, and how deep it was trained.

        Raises what `finetune_last` and `search` raise.
        """
        checkpoint, depth, found = self.folder / "checkpoint.pt", self.depth, {}
        if depth == SEARCH:
            looked = search(self.model, samples, validation, recipe, on_row=on_row, checkpoint=self._checkpoint)
            depth, checkpoint = looked.chosen, self._checkpoint(looked.chosen)  # trained already
            found = {"depths": [row._asdict() for row in looked.table]}
        fitted = finetune_last(
            self.model, depth, samples, validation[:2], recipe, on_epoch=on_epoch, checkpoint=checkpoint
        )
        trained = "all layers" if depth is None else span(self.model, depth)
        return fitted, {"depth": depth, "trained": trained, **found}

    def clear(self) -> None:
        """Remove the checkpoints of what is done."""
        for path in self._checkpoints():
            path.unlink()

    def _checkpoint(self, depth: int) -> Path:
        return self.folder / f"checkpoint-depth{depth}.pt"

    def _checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint*.pt"))
