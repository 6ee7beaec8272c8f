"""The description of one CAD application, read from TOML and carried as JSON inside every exported model."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from overread_learn.acquisition.aift import majority
from overread_learn.applications.normalisation import KINDS, Normalisation, Window, normalisation
from overread_learn.applications.phase import Phase, phases
from overread_learn.applications.values import number, numbers, optional, pairs, text, texts, whole, wholes

__all__ = ["SYMMETRIES", "Application"]

SYMMETRIES = 8
"""Mirror and rotation variants of a square."""

LARGEST_INPUT = 4096
LARGEST_CONTEXT = 10_000
"""Pixels along a patch, and along the square in the source (millimetres, where it is given in them): a square is drawn
at the source's own resolution first, and one of these takes a gigabyte."""
LARGEST_SHARE = 10
"""Times an image's shorter side: beyond it a patch is all border."""
LARGEST_CANDIDATE = 1 << 30
"""Values in all patches of a candidate, which are held at once: four gigabytes."""
LARGEST_ROTATIONS = 360
"""One a degree."""
SMALLEST_STD = 1e-3
"""A quarter of a grey level; far below it, float32 would not hold what is divided by it."""

_NAME = re.compile("[A-Za-z0-9-]{1,100}")

Unit = Literal["px", "mm", "image"]
Geometry = Literal["plane", "vessel"]


@dataclass(frozen=True)
class Application:
    """One kind of candidate: how its patches are cut and how its network learns.

    The attributes are the keys of an application's TOML file; those with a default may be left out.

    What is asked:
        name: 1 to 100 of A to Z, a to z, 0 to 9 and hyphens; models are registered under it.
        classes: the labels' names, one line each; label i is ``classes[i]``. Of two, the second is what is looked for.
        operating_point: the probability from which a candidate is called positive, as `overread-learn evaluate` counts;
            of three classes and more that of all but the first together.

    Geometry, in which each of a candidate's ``patches`` is drawn on ``input_px`` x ``input_px``:
        geometry: ``plane``, a square in an image; or ``vessel``, sections across and along a vessel in a CT volume.
        patches: how many patches (m) a candidate has.
        input_px: the side of a patch, as the network gets it.
        context: the side of the square in the source.
        context_unit: of ``context``: ``px`` (source pixels), ``mm``, or ``image`` (the image's shorter side is 1).
        context_px: for contexts in ``mm``, the side in pixels of images whose spacing nobody knows, such as 8-bit
            photographs; without it such images are refused.
        scales: factors of that side.
        shifts: displacements of the square, x then y, in fractions of its scaled side (in planes rounded to whole
            pixels of the patch); in vessels, x runs along them.
        symmetries: which of the square's eight mirror and rotation variants may occur: 1 mirrors x, 2 mirrors y, 4
            transposes, and their sums. Where all eight may, training turns by any angle; else it does not turn.
        rotations: in vessels, how many turns about the vessel's axis, evenly over 360 degrees.

    Grey levels:
        normalisation: how an image's values become 0..255; see `overread_learn.applications.normalisation`.
        mean, std: three values each, on 0..1: removed from the channels, as the pretrained network wants it.
        colour_jitter: in training, each channel's optical density is multiplied by a factor of its own, log-uniform
            between exp(-colour_jitter) and exp(colour_jitter): stains vary that way. 0 leaves colours alone.

    Learning and selection:
        rate, head_rate: learning rates of trunk and head.
        gamma: the factor that multiplies both each epoch.
        epochs: passes over the labels.
        momentum: SGD's.
        phases: other values of these four for a phase of the papers' Table 3; see `Application.phase`.
        alpha: the share of patches that majority selection keeps.

    Equality tells whether a model belongs to an application. The keys that came later and leave the patches of old
    models as they were (``context_px``, ``colour_jitter``, ``phases``, ``operating_point``) take no part in it: a
    model exported before they existed still belongs. Raises ValueError on values that cannot work; no number may be
    infinite.
    """

    name: str
    classes: tuple[str, ...]
    patches: int
    input_px: int
    context: float
    context_unit: Unit
    scales: tuple[float, ...]
    shifts: tuple[tuple[float, float], ...]
    normalisation: Normalisation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rate: float
    head_rate: float
    gamma: float
    epochs: int
    momentum: float
    alpha: float
    geometry: Geometry = "plane"
    symmetries: tuple[int, ...] = tuple(range(SYMMETRIES))
    rotations: int = 1
    context_px: float | None = field(default=None, compare=False)
    colour_jitter: float = field(default=0.0, compare=False)
    phases: Mapping[str, Phase] = field(default_factory=dict, compare=False)
    operating_point: float = field(default=0.5, compare=False)

    def __post_init__(self) -> None:
        """Refuse what would only fail later, far from the file that says it."""
        rules = self._rules() | (self._vessel_rules() if self.geometry == "vessel" else {})
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise ValueError(f"application {self.name!r}: {'; '.join(broken)}")

    @property
    def k(self) -> int:
        """How many of the ``patches`` majority selection keeps at this application's alpha."""
        return majority(self.alpha, self.patches)

    @property
    def poses(self) -> int:
        """How many ways there are to turn a patch: symmetries in a plane, rotations about a vessel."""
        return self.rotations if self.geometry == "vessel" else len(self.symmetries)

    def phase(self, name: str | None = None) -> Phase:
        """Return the learning parameters of one of `overread_learn.applications.PHASES`.

        ``later_diversity`` falls back on ``later``; what the application does not name falls back on its own ``rate``,
        ``head_rate``, ``gamma`` and ``epochs``, which are also those of None, the shipped default.
        """
        if name == "later_diversity" and name not in self.phases:
            name = "later"
        return self.phases.get(name or "", Phase(self.rate, self.head_rate, self.gamma, self.epochs))

    def to_json(self) -> str:
        """Serialise, keys sorted, so that equal applications give equal text."""
        table = asdict(self)
        table["normalisation"]["kind"] = next(
            kind for kind, shape in KINDS.items() if isinstance(self.normalisation, shape)
        )
        return json.dumps(table, sort_keys=True)

    @classmethod
    def from_json(cls, document: str) -> "Application":
        """Read what `to_json` wrote. Raises ValueError on text that is no application."""
        try:
            table = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"application: not JSON ({error})") from error
        if not isinstance(table, dict):
            raise ValueError("application: the JSON is not an object")  # noqa: TRY004 - a bad document, not a programming error
        return cls.from_table(table, "JSON")

    @classmethod
    def from_table(cls, table: Mapping[str, Any], source: str) -> "Application":
        """Read a table of the keys above. ``source`` names it in errors.

        Raises ValueError on unknown and missing keys, and on values that have the wrong type or cannot work.
        """
        required = {one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING}
        unknown, missing = sorted(table.keys() - _READERS.keys()), sorted(required - table.keys())
        if unknown or missing:
            raise ValueError(f"{source}: unknown keys {unknown}, missing keys {missing}")
        values: dict[str, Any] = {}
        for key, given in table.items():
            try:
                values[key] = _READERS[key](given)
            except TypeError as error:
                raise ValueError(f"{source}: {key} has the wrong type: {error}") from error
            except ValueError as error:
                raise ValueError(f"{source}: {key}: {error}") from error
        try:
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    def _rules(self) -> dict[str, bool]:
        """Return what must hold for every application, and whether it does."""
        channels = 3  # every torchvision trunk takes three
        return {
            "name must be 1 to 100 of A to Z, a to z, 0 to 9 and hyphens": _NAME.fullmatch(self.name) is not None,
            "patches, input_px, epochs and rotations must be whole numbers": all(
                isinstance(value, int) and not isinstance(value, bool)
                for value in (self.patches, self.input_px, self.epochs, self.rotations)
            ),
            "classes must be at least two different names": len(set(self.classes)) == len(self.classes) >= 2,
            "classes must be names of one line, without blanks around them": all(
                name and name == name.strip() and name.isprintable() for name in self.classes
            ),
            f"patches must be 1 to {self.poses} x scales x shifts": 1
            <= self.patches
            <= self.poses * len(self.scales) * len(self.shifts),
            f"input_px must be from 1 to {LARGEST_INPUT}": 1 <= self.input_px <= LARGEST_INPUT,
            f"patches of input_px must hold at most {LARGEST_CANDIDATE} values together": (
                self.patches * channels * self.input_px**2 <= LARGEST_CANDIDATE
            ),
            "context must be positive": 0 < self.context < math.inf,
            f"context, by the largest of scales, must be at most {LARGEST_CONTEXT}, or {LARGEST_SHARE} images": (
                self._widest(self.context) <= (LARGEST_SHARE if self.context_unit == "image" else LARGEST_CONTEXT)
            ),
            f"context_px, by the largest of scales, must be at most {LARGEST_CONTEXT}": (
                self._widest(self.context_px or 0) <= LARGEST_CONTEXT
            ),
            "context_unit must be px or mm or image": self.context_unit in get_args(Unit),
            "context_px must be positive": self.context_px is None or 0 < self.context_px < math.inf,
            "scales must be positive": all(0 < scale < math.inf for scale in self.scales),
            "scales must be different, and so must shifts, in whole pixels of a patch": self._all_different(),
            "shifts must be pairs within -0.5 to 0.5": all(
                len(shift) == len("xy") and all(-0.5 <= part <= 0.5 for part in shift) for shift in self.shifts
            ),
            "geometry must be plane or vessel": self.geometry in get_args(Geometry),
            "symmetries must be different whole numbers from 0 to 7": len(set(self.symmetries)) == len(self.symmetries)
            and set(self.symmetries) <= set(range(SYMMETRIES)),
            f"rotations must be at least 1, and 1 where geometry is plane, at most {LARGEST_ROTATIONS}": 1
            <= self.rotations
            <= LARGEST_ROTATIONS
            and (self.rotations == 1 or self.geometry == "vessel"),
            f"mean and std must have three values, mean from 0 to 1, std from {SMALLEST_STD} to 1": (
                len(self.mean) == len(self.std) == channels
                and all(0 <= value <= 1 for value in self.mean)
                and all(SMALLEST_STD <= value <= 1 for value in self.std)
            ),
            "colour_jitter must be from 0 to 1": 0 <= self.colour_jitter <= 1,
            "rate, head_rate and gamma must be positive": all(
                0 < value < math.inf for value in (self.rate, self.head_rate, self.gamma)
            ),
            "epochs must be at least 1": self.epochs >= 1,
            "momentum must be from 0 to below 1": 0 <= self.momentum < 1,
            "alpha must be above 0, at most 1": 0 < self.alpha <= 1,
            "operating_point must be above 0 and below 1": 0 < self.operating_point < 1,
        }

    def _all_different(self) -> bool:
        """Return whether no two patches are alike: selection would take their agreement for the network's certainty."""
        parts = [part for shift in self.shifts for part in shift]
        if not all(-0.5 <= part <= 0.5 for part in parts) or not isinstance(self.input_px, int):
            return True  # another rule refuses these
        placed = {tuple(round(part * self.input_px) for part in shift) for shift in self.shifts}
        return len(placed) == len(self.shifts) and len(set(self.scales)) == len(self.scales)

    def _widest(self, side: float) -> float:
        return side * max((scale for scale in self.scales if scale < math.inf), default=1)

    def _vessel_rules(self) -> dict[str, bool]:
        """Return what sections of a volume need besides."""
        return {
            "a vessel's context must be in mm, without context_px": self.context_unit == "mm"
            and self.context_px is None,
            "a vessel's shifts must be along it: [x, 0]": all(shift[1:] == (0.0,) for shift in self.shifts),
            "a vessel is turned by rotations, so leave symmetries out": len(self.symmetries) == SYMMETRIES,
            "a vessel's normalisation must be a window": isinstance(self.normalisation, Window),
            "a vessel's colour_jitter must be 0": self.colour_jitter == 0,
        }


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": text,
    "classes": texts,
    "patches": whole,
    "input_px": whole,
    "context": number,
    "context_unit": text,
    "scales": numbers,
    "shifts": pairs,
    "normalisation": normalisation,
    "mean": numbers,
    "std": numbers,
    "rate": number,
    "head_rate": number,
    "gamma": number,
    "epochs": whole,
    "momentum": number,
    "alpha": number,
    "geometry": text,
    "symmetries": wholes,
    "rotations": whole,
    "context_px": optional(number),
    "colour_jitter": number,
    "phases": phases,
    "operating_point": number,
}
