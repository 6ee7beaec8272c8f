"""The application on which the commands hang, and the options that several of them take."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from overread_learn.printing import warn

__all__ = ["Application", "Arch", "Candidates", "Json", "Weights", "app", "digest_of", "numbers", "weights_file"]

app = typer.Typer(
    help="""Active, incremental fine-tuning (AIFT, ACFT) on your own candidates, without the services.

    Example: `overread-learn demo-set --out set`, then `overread-learn labels --candidates set --out build/labels`
    """,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

Candidates = Annotated[
    Path, typer.Option(help="A folder with candidates.csv and images/ (docs/contracts.md).", metavar="DIR")
]
Application = Annotated[str, typer.Option(help="An application's name, or a TOML file.", metavar="NAME|FILE")]
Arch = Annotated[str, typer.Option(help="A torchvision classifier.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="A state_dict of that network, `imagenet` for torchvision's own, or `none` to begin at random. "
        "Left out: imagenet's where they can be had, else none, which is said.",
        metavar="FILE|imagenet|none",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def numbers(text: str, what: str) -> list[int]:
    """Read ``50,50,100``. Raises ValueError on anything that is no list of whole numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{what}: {text!r} is no list of whole numbers such as 50,50,100") from error


def digest_of(weights: Path | None) -> str:
    """Return the SHA-256 of a weights file, ``none`` where there is none."""
    return "none" if weights is None else sha256(weights.read_bytes()).hexdigest()


def weights_file(arch: str, weights: str | None) -> Path | None:
    """Return the file of weights that were asked for, None for random ones; where nothing was asked for, what there is.

    Raises FileNotFoundError, and WeightsUnavailable where a download that was asked for fails.
    """
    if weights == "none":
        return None
    if weights is None or weights == "imagenet":
        from overread_learn.nets import WeightsUnavailable  # noqa: PLC0415 - `--help` does not wait for torch
        from overread_learn.nets.weights import cached  # noqa: PLC0415

        try:
            return cached(arch)
        except WeightsUnavailable as error:
            if weights is not None:
                raise
            warn(f"Random weights, since ImageNet's can't be had: {error}")
            return None
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of weights")
    return path
