"""The candidate sets among the reference data, as `overread-learn` takes them."""

from pathlib import Path

from overread_learn.bench.chest import convert

__all__ = ["candidates"]

CHEST = "cxr_pneumonia"


def candidates(shared: Path, name: str, out: Path) -> tuple[Path, str]:
    """Return the folder of a set and the application that it is for; chest radiographs are converted, once, to ``out``.

    ``shared`` holds data/ and weights/. Raises what `convert` raises.
    """
    if name != CHEST:
        return shared / "data" / name, "fundus-microaneurysm"
    folder = out / "chest"
    if not folder.exists():
        convert(shared / "data" / CHEST, folder)
    return folder, str(folder / "application.toml")
