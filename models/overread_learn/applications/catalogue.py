"""The applications that come with the package, and those that a user writes."""

import tomllib
from importlib import resources
from pathlib import Path

from overread_learn.applications.application import Application

__all__ = ["load", "names"]


def names() -> tuple[str, ...]:
    """List the applications that come with the package, in alphabetical order."""
    files = resources.files("overread_learn.applications").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def load(name_or_path: str | Path) -> Application:
    """Load an application by its name, or from a TOML file (a ``Path``, or text that ends in ``.toml``).

    A file is UTF-8, with or without the mark by which editors begin it. Raises ValueError on an unknown name (and lists
    the known ones), on other bytes, on TOML that does not parse, on unknown or missing keys and on impossible values,
    naming file and key; FileNotFoundError where the file is absent.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        source = str(name_or_path)
        try:
            text = Path(name_or_path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{source}: not a TOML file in UTF-8 ({error})") from error
    elif name_or_path in names():
        source = f"{name_or_path}.toml"
        text = resources.files("overread_learn.applications").joinpath(source).read_text(encoding="utf-8")
    else:
        raise ValueError(f"unknown application {name_or_path!r}; known are {', '.join(names())}")
    try:
        table = tomllib.loads(text)
    # Beside its own error: a number of too many digits, and brackets within brackets without end.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: {error}") from error
    return Application.from_table(table, source)
