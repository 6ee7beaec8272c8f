"""The committed contract is what the classes say, and a breaking change is refused, not written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overread.catalog import folder
from overread.catalog.schemas import schema
from overread.core.events import CorrectionSubmitted

COMMITTED = Path(__file__).parents[2] / "docs" / "events"


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    return Path(shutil.copytree(COMMITTED, tmp_path / "events"))


def test_the_committed_contract_is_current() -> None:
    assert folder.check(COMMITTED) == folder.Report([], []), "run `overread events write docs/events`"


def test_a_grown_event_gets_a_revision_and_the_old_one_stays(contract: Path) -> None:
    first = contract / "schemas" / CorrectionSubmitted.type / "1.json"
    older = json.loads(first.read_text())
    del older["properties"]["reason"]  # as if it had been added since
    first.write_text(json.dumps(older))
    assert folder.check(contract).stale == [f"schemas/{CorrectionSubmitted.type}"]
    folder.write(contract)
    assert folder.revisions(contract, CorrectionSubmitted.type) == {1: older, 2: schema(CorrectionSubmitted)}
    assert folder.check(contract).fine


def test_a_change_of_words_is_no_revision(contract: Path) -> None:
    first = contract / "schemas" / CorrectionSubmitted.type / "1.json"
    worded = json.loads(first.read_text())
    worded["description"] = "other words"
    first.write_text(json.dumps(worded))
    assert not folder.check(contract).fine
    folder.write(contract)
    assert folder.revisions(contract, CorrectionSubmitted.type) == {1: schema(CorrectionSubmitted)}


def test_a_break_with_any_revision_is_told_and_nothing_is_written(contract: Path) -> None:
    kind = contract / "schemas" / CorrectionSubmitted.type
    longer = json.loads((kind / "1.json").read_text())
    (kind / "2.json").write_text(json.dumps(longer))
    longer["properties"]["shift"] = {"type": "string"}  # the first revision had it, and it has gone since
    (kind / "1.json").write_text(json.dumps(longer))
    (contract / "asyncapi.json").unlink()
    told = f"{CorrectionSubmitted.type}, against revision 1: shift: no longer there"
    assert folder.write(contract).broken == [told]
    assert not (contract / "asyncapi.json").exists()
    script = Path(sys.executable).parent / "overread"
    done = subprocess.run([script, "events", "check", contract, "--json"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)["broken"] == [told]


def test_a_type_that_is_gone_is_a_break(contract: Path) -> None:
    shutil.copytree(contract / "schemas" / CorrectionSubmitted.type, contract / "schemas" / "overread.forgotten.v1")
    assert "overread.forgotten.v1: the type is gone" in folder.check(contract).broken[0]
