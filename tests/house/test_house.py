"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from overread.cli import program
from overread.config import Gateway, Settings
from overread.core.events import EVENTS, Event
from overread.topology import C_STORE, DUTY, HTTP, LINE, TOPICS, Row, rooms

REPO = Path(__file__).resolve().parents[2]
PACKAGE = REPO / "services" / "overread"
LONGEST = 300
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "data"}


def sources() -> list[Path]:
    """Every source file that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = (REPO / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.suffix in {".py", ".js", ".css", ".html"} and path.is_file()]


# The map


@pytest.mark.parametrize("row", LINE, ids=lambda row: row.handler)
def test_the_map_names_what_exists_and_what_it_hears(row: Row) -> None:
    module, _, name = f"overread.{row.handler}".rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except AttributeError:
        found = importlib.import_module(f"{module}.{name}")  # a row may name a whole module
    if isinstance(row.consumes, type):
        assert found.consumes is row.consumes
    elif row.consumes == DUTY:
        assert hasattr(found, "prepare")
        assert hasattr(found, "apply")


def test_rooms_hear_only_what_somebody_says() -> None:
    said = {event for row in LINE for event in row.produces}
    heard = {row.consumes for row in LINE if isinstance(row.consumes, type)}
    assert heard <= said
    assert said <= set(EVENTS)


def test_an_act_that_is_no_event_is_one_of_few() -> None:
    acts = {row.consumes for row in LINE if isinstance(row.consumes, str)}
    assert all(act in {C_STORE, HTTP, DUTY} or act.startswith("overread ") for act in acts)


def test_every_event_has_a_topic_with_a_shape() -> None:
    assert {event.topic for event in EVENTS} == set(TOPICS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_contract_names_every_event_beside_its_topic(event: type[Event]) -> None:
    lines = [line for line in (REPO / "docs/contracts.md").read_text().splitlines() if event.__name__ in line]
    assert any(event.topic in line for line in lines)


# Tables


def declared() -> dict[str, str]:
    """Table → the package that declares it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        if not any(isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy" for node in tree.body):
            continue  # `Table` of another library
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Table":
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path}: a table's name is a literal"
                assert path.name == "tables.py", f"{path}: tables are declared in tables.py"
                found[str(name.value)] = path.parent.name
    return found


@pytest.mark.parametrize(("table", "owner"), sorted(declared().items()))
def test_a_table_carries_the_name_of_its_room(table: str, owner: str) -> None:
    if owner == "store":
        named = {"outbox", "inbox", "offsets", "purges", "settled_letters", "bus_groups", "bus_members", "leases"}
        assert table in named
    else:
        assert table.startswith(f"{owner}_")


def test_the_contract_lists_every_table_beside_its_owner() -> None:
    text = (REPO / "docs/contracts.md").read_text().partition("## Tables")[2].partition("\n## ")[0]
    listed = {}
    for line in text.splitlines():
        if line.startswith("| ") and "owner" not in line:
            owner, tables = (cell.strip() for cell in line.strip("|").split("|"))
            listed.update({table.strip(): owner.split()[0] for table in tables.split(",")})
    assert declared() == listed


def test_a_table_is_touched_by_its_own_room_only() -> None:
    tables = declared()
    trespasses = []
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            trespasses += [
                f"{path.relative_to(REPO)} imports overread.{owner}.tables"
                for owner in set(tables.values()) - {place}
                if _imports(node, f"overread.{owner}.tables") and (owner, place) not in NEIGHBOURS
            ]
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = set(re.findall(r"\w+", node.value))
                others = {table for table in words & tables.keys() if "_" in table and tables[table] != place}
                if others and re.search(r"\b(select|from|insert|update|delete|join)\b", node.value, re.IGNORECASE):
                    trespasses.append(f"{path.relative_to(REPO)} speaks SQL to {sorted(others)}")
    assert not trespasses


NEIGHBOURS = {("store", "bus")}
"""The embedded bus is the store's outbox."""


def _imports(node: ast.AST, module: str) -> bool:
    package, _, name = module.rpartition(".")
    if isinstance(node, ast.ImportFrom):
        return node.module == module or (node.module == package and any(alias.name == name for alias in node.names))
    return isinstance(node, ast.Import) and any(alias.name == module for alias in node.names)


# Files


def test_no_file_is_longer_than_it_should_be() -> None:
    long = {}
    for path in sources():
        lines = path.read_text().splitlines()
        if "migrations" in path.parts:
            continue  # written by Alembic, never edited
        if len(lines) > LONGEST and not any("long because: " in line for line in lines):
            long[str(path.relative_to(REPO))] = len(lines)
    assert not long, f"split it, or say in a comment `long because: …`: {long}"


def test_names_say_something() -> None:
    named = {path.relative_to(REPO) for path in sources()}
    assert not [str(path) for path in named if SAYS_NOTHING & {*path.parent.parts, path.stem}]


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|# type: ignore(?!\[)|# noqa(?!:)")
    this = Path(__file__)
    found = [
        f"{path.relative_to(REPO)}:{number}"
        for path in sources()
        if path != this
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert not found


def test_a_broad_except_stands_in_the_worker_alone() -> None:
    found = [
        f"{path.relative_to(REPO)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert found, "the worker's own is gone"
    assert {place.partition(":")[0] for place in found} == {"services/overread/worker.py"}


# Dependencies


def dependencies() -> Iterator[str]:
    """Each line of pyproject.toml that names a distribution to install."""
    lists = re.compile(r"^(dependencies|train|test|lint) = \[$")
    inside = False
    for line in (REPO / "pyproject.toml").read_text().splitlines():
        if lists.match(line):
            inside = True
        elif line == "]":
            inside = False
        elif inside and line.strip().startswith('"'):
            yield line.strip()


def test_every_dependency_says_why_it_is_there() -> None:
    found = list(dependencies())
    assert len(found) > 25
    assert not [line for line in found if not re.search(r'",\s+# \S', line)]


# Commands


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (REPO / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "deploy/README.md"])
def test_every_make_command_in_the_documents_exists(name: str) -> None:
    said = set(re.findall(r"`make ([a-z-]+)|^ *make ([a-z-]+)", (REPO / name).read_text(), re.MULTILINE))
    assert {one or other for one, other in said} <= targets()


def test_the_readme_shows_every_command_of_the_program_and_no_other() -> None:
    readme = (REPO / "README.md").read_text().partition("## Commands")[2].partition("\n## ")[0]
    shown = set(re.findall(r"^\| `overread ([a-z]+)", readme, re.MULTILINE))
    command = get_command(program())
    assert shown == set(command.commands)  # type: ignore[attr-defined]


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(REPO)} → {target}"
        for path in [*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md"), *(REPO / "deploy").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#]+)", path.read_text())
        if not re.match(r"https?:", target) and not (path.parent / target).exists()
    ]
    assert not broken


# The chart


def test_the_chart_has_a_workload_for_every_room_of_the_map() -> None:
    values = yaml.safe_load((REPO / "helm/overread/values.yaml").read_text())
    assert [room["room"] for room in values["rooms"]] == list(rooms(""))
    assert [room["room"] for room in values["rooms"] if room["image"] == "trainer"] == ["trainer.round"]
    template = (REPO / "helm/overread/templates/rooms.yaml").read_text()
    assert 'replace "." "-"' in template, "a Kubernetes name has no dots"
    assert values["healthPort"] == Settings.model_fields["health_port"].default
    assert values["gateway"]["port"] == Gateway.model_fields["port"].default


def test_the_charts_settings_are_settings_that_exist() -> None:
    fixed = (REPO / "helm/overread/templates/_names.tpl").read_text()
    names = set(re.findall(r'"([a-z_]+)" (?:"|\(|\.Values)', fixed.partition("$fixed := dict")[2].partition("-}}")[0]))
    assert names >= {"data", "health_host", "gateway", "peers"}
    assert names <= {*Settings.model_fields, *Gateway.model_fields}
