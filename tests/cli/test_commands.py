"""The command line: help for everything, JSON that parses, and an error that is one clear line and exit code 2."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.said import Run
from gateway.arrivals import ROOT, arrival
from inference.pictures import APPLICATION, export
from overread.cli import program
from overread.topology import rooms
from overread_learn.applications import load


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and group there is."""
    found = [path]
    for name, command in getattr(group, "commands", {}).items():
        found += commands(command, (*path, name))
    return found


ALL = commands(typer.main.get_command(program()))


def test_all_commands_of_the_design_are_there() -> None:
    names = {" ".join(path) for path in ALL}
    assert {"up", "run", "status", "doctor", "replay", "purge", "send", "read", "generate"} <= names
    assert {"rollout list", "rollout show", "rollout sign", "rollout stop"} <= names
    assert {"events list", "events schema", "events asyncapi", "events check", "events write"} <= names
    assert {"labels list", "labels import", "models list", "models show", "models import"} <= names


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    said = CliRunner().invoke(program(), [*path, "--help"])
    assert said.exit_code == 0
    assert "Usage" in said.output
    assert len(said.output.splitlines()) > 5


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_swallows_nothing_that_stands_in_brackets(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    command: Any = typer.main.get_command(program())
    for name in path:
        command = command.commands[name]
    said = " ".join(CliRunner().invoke(program(), [*path, "--help"]).output.split())
    written = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    for text in filter(None, written):
        assert all(word in said for word in text.replace("\\[", "[").split())


def test_help_does_not_wait_for_what_only_rooms_need() -> None:
    import subprocess  # noqa: PLC0415

    script = (
        "import sys; sys.argv = ['overread', '--help']\n"
        "from overread.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'mlflow', 'onnxruntime', 'cv2', 'fastapi', 'pynetdicom', 'sqlalchemy'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "heavy: []" in said.stderr


FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "an assignment without a value": (("--set", "gateway.port", "status"), "name=value"),
    "a misspelt setting": (("--set", "gateway.prot=1", "status"), "gateway.prot"),
    "a setting that cannot work": (("--set", "review.host=0.0.0.0", "status"), "review.host"),
    "an absent configuration": (("--config", "absent.yaml", "status"), "absent.yaml"),
    "a data directory that is a file": (("--data", "taken", "status"), "--data"),
    "an unknown application": (("--set", "application=nonsense", "run", "inference"), "application"),
    "an application of volumes": (("--set", "application=pulmonary-embolism", "run", "rollout"), "from a volume"),
    "an application of three classes": (("--set", "application=carotid-imt", "run", "candidates"), "3 classes"),
    "an unknown room": (("run", "cellar"), "cellar"),
    "an unknown strategy": (("--set", "trainer.strategy=guess", "run", "trainer.selection"), "trainer.strategy"),
    "a strategy for experiments": (("--set", "trainer.strategy=scratch", "run", "trainer.selection"), "=random"),
    "random labels that are chosen": (("--set", "trainer.training=RFT(LQ)", "run", "trainer.round"), "AFT(LQ)"),
    "rates that the application lacks": (("--set", "trainer.rates=papers", "run", "trainer.round"), "trainer.rates"),
    "rates that there are not": (("--set", "trainer.rates=mine", "status"), "trainer.rates"),
    "a seed that is none": (("--set", "trainer.seed=-1", "status"), "trainer.seed"),
    "another database": (("--set", "store_url=mysql://x", "status"), "mysql"),
    "the embedded bus on a server": (("--set", "store_url=postgresql://u@127.0.0.1:9/x", "status"), "bus_url"),
    "a bus that is none": (("--set", "bus_url=rabbit://x", "status"), "bus_url"),
    "a relay without a cluster": (("run", "relay"), "relay"),
    "no such folder to send": (("send", "absent"), "absent"),
    "nothing to send": (("send", "."), "no *.dcm"),
    "no such version": (("rollout", "show", "7"), "no version 7"),
    "no such version to sign": (("rollout", "sign", "7", "--name", "x"), "no version 7"),
    "no such version to stop": (("rollout", "stop", "7", "--name", "x", "--reason", "y"), "no version 7"),
    "no such study": (("purge", "1.2.3", "--yes"), "no such study"),
    "a replay onto something": (("replay", "--into", "taken"), "taken"),
    "a model that is absent": (("models", "import", "absent.onnx"), "absent.onnx"),
    "a model that is garbage": (("models", "import", "taken"), "taken"),
    "no such model": (("models", "show", "7"), "no version 7"),
    "a protocol that is garbage": (("--set", "rollout.protocol=taken", "run", "rollout"), "rollout.protocol"),
    "a model to serve that is garbage": (("run", "inference", "--model", "taken"), "inference.model"),
    "phantoms onto something": (("generate", "."), "not empty"),
    "a truth of other columns": (("read", "--simulate", "columns.csv"), "no column study_uid"),
    "a truth that is no text": (("read", "--simulate", "bytes.csv"), "bytes.csv"),
    "an AE title that is none": (("send", "one.dcm", "--aec", "LONGER THAN SIXTEEN"), "AE title"),
    "a page that is nowhere": (("read", "--simulate", "truth.csv", "--url", "nowhere"), "no address"),
}


@pytest.mark.network
@pytest.mark.parametrize(("arguments", "named"), FAULTS.values(), ids=FAULTS)
def test_an_error_of_ours_is_a_clear_line_and_exit_code_two(
    overread: Run, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    (tmp_path / "taken").write_bytes(b"this is something else")
    (tmp_path / "columns.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "bytes.csv").write_bytes(b"study_uid\xff\xfe\x00PatientName")
    (tmp_path / "truth.csv").write_text("study_uid,sop_uid,frame,x,y,radius_px,label\n")
    if "one.dcm" in arguments:
        (tmp_path / "one.dcm").write_bytes(arrival().content)
    said = overread(*arguments)
    assert said.code == 2, said
    assert said.err.count("error:") == 1
    assert named in said.err
    assert "Traceback" not in said.err + said.out
    assert "PatientName" not in said.err
    ours = [line for line in said.err.splitlines() if not line.startswith("{") and "━" not in line]
    assert len(ours) <= 3, "one line, and a line a fault for settings"


@pytest.mark.network
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves its socket open
def test_a_gateway_that_is_away_is_said_with_its_address(overread: Run, tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(arrival().content)
    said = overread("send", "one.dcm", "--port", "9")
    gc.collect()
    assert said.code == 2
    assert "127.0.0.1:9" in said.err


def test_words_that_are_no_command_are_exit_code_two(overread: Run) -> None:
    for arguments in (("nonsense",), ("rollout", "sign"), ("read",), ("status", "--jsno")):
        assert overread(*arguments).code == 2


@pytest.mark.network
@pytest.mark.parametrize(
    "arguments", [("status",), ("labels", "list"), ("models", "list"), ("rollout", "list"), ("doctor",)], ids=" ".join
)
def test_facts_are_json_or_a_table(overread: Run, arguments: tuple[str, ...]) -> None:
    said = overread(*arguments, "--json")
    assert said.code in {0, 1} if arguments == ("doctor",) else said.code == 0, said.err
    assert isinstance(said.facts, dict if arguments == ("status",) else list)
    table = overread(*arguments)
    assert table.code == said.code
    assert table.out.strip()


def test_the_status_of_an_empty_house(overread: Run) -> None:
    facts = overread("status", "--json").facts
    assert [room["room"] for room in facts["rooms"]] == list(rooms(""))
    assert {room["state"] for room in facts["rooms"]} == {"stopped"}
    assert facts["serving"] is None
    assert facts["gateway"] == {"studies": 0, "instances": 0, "quarantined": 0, "patients": {}}
    assert facts["problems"] == []


@pytest.mark.network
def test_the_doctor_says_what_is_missing_and_what_mends_it(overread: Run, tmp_path: Path) -> None:
    said = overread("--set", "blobs_reserve_mb=1000000000000", "--set", "gateway.port=0", "doctor", "--json")
    assert said.code == 1
    found = {check["what"]: check for check in said.facts}
    assert (found["python"]["state"], found["disk"]["state"]) == ("ok", "missing")
    assert "0xA700" in found["disk"]["mend"]
    assert overread("--set", f"trainer.weights={tmp_path}/absent.pth", "doctor").code == 1
    assert not (tmp_path / "overread-data").exists(), "looking changes nothing"


@pytest.mark.network
def test_the_doctor_sees_a_port_that_is_taken(overread: Run) -> None:
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        facts = overread("--set", f"gateway.port={port}", "doctor", "--json").facts
    (check,) = [one for one in facts if one["what"] == f"port {port}"]
    assert check["state"] == "absent"
    assert "OVERREAD_GATEWAY__PORT" in check["mend"]


def test_the_version_is_printed(overread: Run) -> None:
    from importlib.metadata import version  # noqa: PLC0415

    assert overread("--version").out.strip() == version("overread")


def test_a_model_is_imported_once_and_told_to_the_rooms(overread: Run, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(export(tmp_path, 1, application=load("lung-nodule")))
    first = overread("models", "import", "model.onnx", "--json").facts
    assert overread("models", "import", "model.onnx", "--json").facts == first
    (listed,) = overread("models", "list", "--json").facts
    assert (listed["version"], listed["kind"], listed["champion"]) == (1, "imported", False)
    shown = overread("models", "show", "1", "--json").facts
    assert shown["intact"] is True
    assert shown["file_sha256"] == first["sha256"]
    (file,) = (tmp_path / "overread-data" / "models").rglob("model.onnx")
    file.write_bytes(b"changed")
    assert overread("models", "show", "1", "--json").facts["intact"] is False


def test_a_model_of_another_geometry_is_refused(overread: Run, tmp_path: Path) -> None:
    other = replace(APPLICATION, context=20.0)
    (tmp_path / "model.onnx").write_bytes(export(tmp_path, 1, application=other))
    said = overread("models", "import", "model.onnx")
    assert said.code == 2
    assert "another way" in said.err


def test_no_model_is_imported_into_a_house_that_could_not_serve_it(overread: Run, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(export(tmp_path, 1, application=load("pulmonary-embolism")))
    said = overread("--set", "application=pulmonary-embolism", "models", "import", "model.onnx")
    assert said.code == 2
    assert "from a volume" in said.err


@pytest.mark.network
def test_the_doctor_names_an_application_that_cannot_be_served(overread: Run) -> None:
    def looked(name: str) -> dict[str, str]:
        facts = overread("--set", f"application={name}", "doctor", "--json").facts
        (found,) = (check for check in facts if check["what"] == "application")
        return dict(found)

    assert (looked("polyp")["state"], looked("polyp")["detail"]) == ("ok", "polyp")
    assert looked("carotid-imt")["state"] == "missing"
    assert "3 classes" in looked("carotid-imt")["detail"]


def test_a_study_is_purged_by_its_uid_once_and_only_when_confirmed(overread: Run, tmp_path: Path) -> None:
    from overread import config  # noqa: PLC0415
    from overread.core.splits import SplitPolicy  # noqa: PLC0415
    from overread.gateway.admission import Admission  # noqa: PLC0415
    from overread.house import House  # noqa: PLC0415

    house = House(config.load(data=tmp_path / "overread-data"))
    Admission(house.store, house.bus.append, house.blobs, house.pseudonyms, SplitPolicy()).admit(arrival())
    house.close()
    study = f"{ROOT}.2.1"
    assert overread("purge", study).code == 1, "nobody answered, so nothing may go"
    assert overread("status", "--json").facts["gateway"]["instances"] == 1
    facts = overread("purge", study, "--yes", "--json").facts
    assert (facts["instances"], facts["blobs"], facts["labels"], facts["versions"]) == (1, 1, 0, [])
    assert overread("status", "--json").facts["gateway"]["instances"] == 0
    assert overread("purge", study, "--yes").code == 2


def test_an_empty_house_replays_to_an_empty_house(overread: Run, tmp_path: Path) -> None:
    said = overread("replay", "--into", "rebuilt.db", "--verify", "--json")
    assert said.code == 0, said
    assert said.facts == {"candidates": 0, "facts": 0, "skipped": 0, "differences": []}
    assert (tmp_path / "rebuilt.db").exists()
    assert overread("replay", "--into", "rebuilt.db").code == 2
