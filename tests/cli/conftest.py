from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from cli.said import Run, Said
from overread import cli


@pytest.fixture
def overread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run `overread` as its entry point does, in a data directory of its own."""
    for name in list(os.environ):
        if name.startswith("OVERREAD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")  # rich would break a long line for a narrow terminal

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["overread", *arguments])
        monkeypatch.setattr(sys, "stdin", StringIO())  # nobody answers
        try:
            code = cli.main()
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return Said(int(code or 0), said.out, said.err)

    # A room takes over signals and the log of its process, which is the tests' own here.
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    root = logging.getLogger()
    ours, level = root.handlers[:], root.level
    yield run
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    root.handlers[:] = ours
    root.setLevel(level)
