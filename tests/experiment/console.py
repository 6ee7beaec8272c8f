"""`overread-learn` as its entry point runs it, in the tests' own process: starting one takes seconds."""

from __future__ import annotations

import sys

import pytest

from cli.said import Said
from overread_learn import cli


class Console:
    """Says what a command said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["overread-learn", *map(str, words)])
        self._capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)
