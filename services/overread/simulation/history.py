"""What clients tried and what they were told, on the disk outside the system before anything else happens.

A line each: `invoke` before the attempt, then `ok`, `fail` (refused for certain) or `unknown` (no answer, a time-out).
After a crash an `invoke` without an end counts as unknown. The words are those of Jepsen's histories.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TextIO


class Outcome(StrEnum):
    """How an attempt ended, as far as its client knows."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Attempt(NamedTuple):
    """One correction that somebody tried to make."""

    key: str
    """ce_id: minted once, however often it was sent."""
    candidate: str
    outcome: Outcome


class History:
    """An append-only file. Each call returns when its lines are on the disk."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def invoke(self, attempts: Sequence[tuple[str, str]]) -> None:
        """Write down what will be tried now, (key, candidate) each."""
        self._append({"op": "invoke", "key": key, "candidate": candidate} for key, candidate in attempts)

    def end(self, keys: Sequence[str], outcome: Outcome) -> None:
        """Write down what came of it. A later word of the same key counts: an unknown may turn out well."""
        self._append({"op": outcome.value, "key": key} for key in keys)

    def _append(self, lines: Iterator[dict[str, str]]) -> None:
        self._file.write("".join(json.dumps(line) + "\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def opened(path: Path) -> Iterator[History]:
    """Open a history to write on where it ended; what a crash cut off is taken away."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
    with path.open("a", encoding="utf-8") as file:
        yield History(file)


def read(path: Path) -> dict[str, Attempt]:
    """Return every attempt by its key. A last line that a crash cut off counts for nothing."""
    found: dict[str, Attempt] = {}
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        said = json.loads(line)
        if said["op"] == "invoke":
            found.setdefault(said["key"], Attempt(said["key"], said["candidate"], Outcome.UNKNOWN))
        else:
            found[said["key"]] = found[said["key"]]._replace(outcome=Outcome(said["op"]))
    return found
