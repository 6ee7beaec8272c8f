"""`overread events check` and `write`: a contract that can't be read is one clear line, never a list of differences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli.said import Run
from overread.core.events import CorrectionSubmitted

COMMITTED = Path(__file__).parents[2] / "docs" / "events"
REVISION = f"schemas/{CorrectionSubmitted.type}/1.json"


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    return Path(shutil.copytree(COMMITTED, tmp_path / "events"))


def refused(overread: Run, *arguments: str) -> str:
    said = overread("events", *arguments)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        (REVISION, b"this is no JSON", "no JSON"),
        (REVISION, b"\xff\xfe", "no JSON"),
        (REVISION, b"[]", "no JSON object"),
        (REVISION.replace("1.json", "draft.json"), b"{}", "a revision is a number"),
        ("asyncapi.json", b"{", "no JSON"),
    ],
)
def test_a_file_that_is_no_schema_is_named(overread: Run, contract: Path, file: str, content: bytes, why: str) -> None:
    (contract / file).write_bytes(content)
    for command in ("check", "write"):
        line = refused(overread, command, "events")
        assert f"events/{file}: " in line
        assert why in line
    assert (contract / file).read_bytes() == content, "nothing is written over"


def test_a_folder_that_is_not_there_is_no_list_of_differences(overread: Run, tmp_path: Path) -> None:
    assert "absent: there is no such folder" in refused(overread, "check", "absent")
    assert "absent: there is no such folder" in refused(overread, "check", "absent", "--json")
    (tmp_path / "taken").write_text("")
    assert "taken" in refused(overread, "check", "taken")
    assert "taken" in refused(overread, "write", "taken")


def test_a_folder_that_is_written_anew_is_fine(overread: Run) -> None:
    assert overread("events", "write", "new", "--json").code == 0
    said = overread("events", "check", "new", "--json")
    assert (said.code, json.loads(said.out)) == (0, {"broken": [], "stale": []})
