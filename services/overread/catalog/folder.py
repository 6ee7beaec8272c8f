"""The committed contract, `docs/events`: `asyncapi.json`, and every schema there ever was as `schemas/TYPE/N.json`.

A revision that stands there is never changed but for its words: tests and other systems rely on it. A change of a class
adds the next one, and only if it breaks none of those before.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from overread.catalog.asyncapi import document
from overread.catalog.compatibility import breaks
from overread.catalog.schemas import Schema, schemas
from overread.core.errors import Misconfigured
from overread_learn.files import write_whole


class Report(NamedTuple):
    """What stands between the classes and the folder."""

    broken: list[str]
    """Changes that break somebody, a line each."""
    stale: list[str]
    """Files that do not say what the classes say."""

    @property
    def fine(self) -> bool:
        """Whether there is nothing to do."""
        return not self.broken and not self.stale


def revisions(folder: Path, kind: str) -> dict[int, Schema]:
    """Return a type's committed schemas by revision, the first first.

    Raises:
        Misconfigured: a file is no JSON object, or its name is no number.
    """
    files = list((folder / "schemas" / kind).glob("*.json"))
    for file in files:
        if not re.fullmatch("[0-9]+", file.stem):
            raise Misconfigured(f"{file}: a revision is a number, such as 1.json; move the file elsewhere")
    return {int(file.stem): _read(file) for file in sorted(files, key=lambda file: int(file.stem))}


def _read(file: Path) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file}: it is no JSON ({error}); put back what was committed") from error
    if not isinstance(found, dict):
        raise Misconfigured(f"{file}: it is no JSON object, and so no schema; put back what was committed")
    return found


def check(folder: Path) -> Report:
    """Hold the classes against every committed schema, and the files against the classes.

    Raises:
        Misconfigured: the folder is not there, or a file in it can't be read.
    """
    if not folder.is_dir():
        raise Misconfigured(f"{folder}: there is no such folder; name it, or make it: overread events write {folder}")
    return _compare(folder)


def _compare(folder: Path) -> Report:
    broken, stale = [], []
    now = schemas()
    for kind, schema in now.items():
        kept = revisions(folder, kind)
        broken += [
            f"{kind}, against revision {number}: {line}" for number, old in kept.items() for line in breaks(old, schema)
        ]
        if not kept or kept[max(kept)] != schema:
            stale.append(f"schemas/{kind}")
    gone = sorted(path.name for path in (folder / "schemas").glob("*") if path.name not in now)
    broken += [f"{kind}: the type is gone, and old events of it stay in the log" for kind in gone]
    file = folder / "asyncapi.json"
    if not file.is_file() or _read(file) != document():
        stale.append("asyncapi.json")
    return Report(broken, stale)


def write(folder: Path) -> Report:
    """Add what is new: the next revision of each changed schema, and the document; nothing where something breaks.

    Raises:
        Misconfigured: what stands there is no folder, or a file in it can't be read.
    """
    if folder.exists() and not folder.is_dir():
        raise Misconfigured(f"{folder}: it is a file; name a folder")
    found = _compare(folder)
    if found.broken:
        return found
    for kind, schema in schemas().items():
        kept = revisions(folder, kind)
        last = max(kept, default=0)
        if not kept or _without_words(kept[last]) != _without_words(schema):
            last += 1
        if kept.get(last) != schema:
            _write(folder / "schemas" / kind / f"{last}.json", schema)
    _write(folder / "asyncapi.json", document())
    return found


def _without_words(schema: Any) -> Any:
    """Return a schema without descriptions, which say nothing of what is valid."""
    if isinstance(schema, dict):
        told = {name for name, value in schema.items() if name == "description" and isinstance(value, str)}
        return {name: _without_words(value) for name, value in schema.items() if name not in told}
    return [_without_words(value) for value in schema] if isinstance(schema, list) else schema


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(), mode=0o644)
