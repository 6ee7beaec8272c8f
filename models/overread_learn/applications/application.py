"""The description of one CAD application, read from TOML and carried as JSON inside every exported model."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from overread_learn.acquisition.aift import majority
from overread_learn.applications.normalisation import KINDS, Normalisation, normalisation

__all__ = ["SYMMETRIES", "Application", "load", "names"]

SYMMETRIES = 8
"""Mirror and rotation variants of a square."""

Unit = Literal["px", "mm"]


@dataclass(frozen=True)
class Application:
    """One kind of candidate: how its patches are cut and how its network learns.

    Geometry: each of the ``patches`` variants of a candidate is a square whose side in the source image is
    ``context`` (source pixels, or millimetres) times one of ``scales``, displaced by one of ``shifts`` (fractions
    of that side, x then y), in one of the eight mirror and rotation variants, drawn on ``input_px`` x ``input_px``.

    Learning: learning rates of trunk and head, the factor ``gamma`` that multiplies both each epoch, and SGD's
    momentum, as in Table 3 of Zhou et al. (CVPR 2017). ``alpha`` is the share that majority selection keeps.

    Raises ValueError on values that cannot work.
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

    def __post_init__(self) -> None:
        """Refuse what would only fail later, far from the file that says it."""
        channels = 3  # every torchvision trunk takes three
        rules = {
            "patches, input_px and epochs must be whole numbers": all(
                isinstance(value, int) for value in (self.patches, self.input_px, self.epochs)
            ),
            "classes must be at least two different names": len(set(self.classes)) == len(self.classes) >= 2,
            "patches must be 1 to 8 x scales x shifts": 1
            <= self.patches
            <= SYMMETRIES * len(self.scales) * len(self.shifts),
            "input_px must be at least 1": self.input_px >= 1,
            "context must be positive": 0 < self.context < math.inf,
            "context_unit must be px or mm": self.context_unit in get_args(Unit),
            "scales must be positive": all(0 < scale < math.inf for scale in self.scales),
            "shifts must be pairs within -0.5 to 0.5": all(
                len(shift) == len("xy") and all(-0.5 <= part <= 0.5 for part in shift) for shift in self.shifts
            ),
            "mean and std must have three values, std above 0": len(self.mean) == len(self.std) == channels
            and all(value > 0 for value in self.std),
            "rate, head_rate and gamma must be positive": min(self.rate, self.head_rate, self.gamma) > 0,
            "epochs must be at least 1": self.epochs >= 1,
            "momentum must be from 0 to below 1": 0 <= self.momentum < 1,
            "alpha must be above 0, at most 1": 0 < self.alpha <= 1,
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise ValueError(f"application {self.name!r}: {'; '.join(broken)}")

    @property
    def k(self) -> int:
        """How many of the ``patches`` majority selection keeps at this application's alpha."""
        return majority(self.alpha, self.patches)

    def to_json(self) -> str:
        """Serialise, keys sorted, so that equal applications give equal text."""
        table = asdict(self)
        table["normalisation"]["kind"] = next(
            kind for kind, shape in KINDS.items() if isinstance(self.normalisation, shape)
        )
        return json.dumps(table, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Application":
        """Read what `to_json` wrote. Raises ValueError on text that is no application."""
        table = json.loads(text)
        if not isinstance(table, dict):
            raise ValueError("application: the JSON is not an object")  # noqa: TRY004 - a bad document, not a programming error
        return _application(table, "JSON")


def names() -> tuple[str, ...]:
    """List the applications that come with the package, in alphabetical order."""
    files = resources.files("overread_learn.applications").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def load(name_or_path: str | Path) -> Application:
    """Load an application by its name, or from a TOML file (a ``Path``, or text that ends in ``.toml``).

    Raises ValueError on an unknown name (and lists the known ones), on TOML that does not parse, on unknown or
    missing keys and on impossible values; FileNotFoundError where the file is absent.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        text, source = Path(name_or_path).read_text(encoding="utf-8"), str(name_or_path)
    elif name_or_path in names():
        source = f"{name_or_path}.toml"
        text = resources.files("overread_learn.applications").joinpath(source).read_text(encoding="utf-8")
    else:
        raise ValueError(f"unknown application {name_or_path!r}; known are {', '.join(names())}")
    try:
        return _application(tomllib.loads(text), source)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source}: {error}") from error


def _application(table: Mapping[str, Any], source: str) -> Application:
    known = {field.name for field in fields(Application)}
    unknown, missing = sorted(table.keys() - known), sorted(known - table.keys())
    if unknown or missing:
        raise ValueError(f"{source}: unknown keys {unknown}, missing keys {missing}")
    try:
        return Application(
            **{
                **table,
                **{key: tuple(table[key]) for key in ("classes", "scales", "mean", "std")},
                "shifts": tuple(tuple(shift) for shift in table["shifts"]),
                "normalisation": normalisation(table["normalisation"]),
            }
        )
    except (TypeError, AttributeError) as error:  # a list where a number belongs, and the like
        raise ValueError(f"{source}: a value has the wrong type ({error})") from error
