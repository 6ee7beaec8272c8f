"""Tables for people: whole where no terminal limits them, folded where one does, and ids never cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from overread_learn import printing
from overread_learn.printing import show, tabulate

IDS = ("a" * 64, "eye-0003-" + "x" * 50)


def test_where_stdout_is_no_terminal_a_table_is_as_wide_as_its_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [{"id": name, "score": 0.5, "sha256": "0" * 64} for name in IDS]
    show(rows, as_json=False, table=tabulate("picks", ("id", "score", "sha256"), rows))
    said = capsys.readouterr().out
    assert all(any(name in line for line in said.splitlines()) for name in IDS)
    assert "0" * 12 + "…" in said, "a digest is known by its beginning"


def test_in_a_terminal_cells_are_folded_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(printing, "out", Console(file=screen, force_terminal=True, color_system=None, width=40))
    show([], as_json=False, table=tabulate("", ("id", "score"), [{"id": name, "score": 1} for name in IDS]))
    said = screen.getvalue()
    assert max(map(len, said.splitlines())) <= 40
    assert "…" not in said
    cells = "".join(line.split("│")[1].strip() for line in said.splitlines() if line.startswith("│"))
    assert cells == "".join(IDS)


def test_brackets_in_a_name_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    folder = "/data/X[/b][red]" + "x" * 100
    printing.say(f"{folder}/labels.json is written")
    show([], as_json=False, table=tabulate(folder, ("c" * 200,), []))
    assert capsys.readouterr().out.count(folder) == 2
