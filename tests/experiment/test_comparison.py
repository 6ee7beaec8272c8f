"""What stands in a folder of runs is kept, and never taken for something else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import overread_learn
from overread_learn.acquisition.strategy import meaning
from overread_learn.applications import load
from overread_learn.bench.chest import APPLICATION
from overread_learn.experiment.comparison import Comparison, OtherRules, Progress
from overread_learn.experiment.protocol import Protocol


def kept(folder: Path, protocol: Protocol, **other: object) -> Comparison:
    comparison = Comparison(protocol, folder, None, folder, ["auto"], [0])
    facts = {"strategy": "auto", "seed": 0, "meaning": meaning("auto"), "steps": [], **other}
    rules = json.loads(json.dumps(vars(protocol)))
    comparison.file("auto", 0).write_text(json.dumps({"protocol": rules, **facts}))
    return comparison


def test_a_run_that_is_done_is_read_and_not_made_again(tmp_path: Path, protocol: Protocol) -> None:
    comparison = kept(tmp_path, protocol)
    heard: list[object] = []
    assert [run["seed"] for run in comparison.run(1, heard.append)] == [0]
    assert len(heard) == 1


def test_auto_of_another_day_is_another_strategy(tmp_path: Path, protocol: Protocol) -> None:
    comparison = kept(tmp_path, protocol, meaning="typiclust:margin+badge")
    with pytest.raises(OtherRules, match=r"auto stood for typiclust:margin\+badge then"):
        comparison.read()


def test_a_run_of_what_auto_stands_for_is_autos_run(tmp_path: Path, protocol: Protocol) -> None:
    literal = Comparison(protocol, tmp_path, None, tmp_path, [meaning("auto"), "auto"], [0])
    kept(tmp_path, protocol, strategy=meaning("auto"))
    assert literal.read()["auto", 0] == {**literal.read()[meaning("auto"), 0], "strategy": "auto"}
    assert {run["strategy"] for run in literal.run(1, lambda _: None)} == {"auto", meaning("auto")}


@pytest.mark.parametrize("content", ["", "[]", '{"strategies": {}, "summary": {}}'])
def test_a_file_that_is_of_no_run_is_named(tmp_path: Path, protocol: Protocol, content: str) -> None:
    comparison = kept(tmp_path, protocol)
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match=r"labels\.json is n"):
        comparison.read()


def test_a_repository_around_an_installed_package_is_not_its_commit(tmp_path: Path) -> None:
    package = tmp_path / "environment" / "overread_learn"
    shutil.copytree(Path(overread_learn.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for words in ("init --quiet", "commit --quiet --allow-empty --message theirs"):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *words.split()], cwd=tmp_path, check=True
        )
    told = subprocess.run(
        [sys.executable, "-c", "from overread_learn.experiment import comparison; print(comparison.commit())"],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == version("overread")


def test_a_run_is_the_same_however_many_run_at_once(material_folder: Path, tmp_path: Path, protocol: Protocol) -> None:
    found = {}
    for workers in (1, 2):
        raw = tmp_path / str(workers)
        rules = replace(protocol, epochs=6, patches=2)
        comparison = Comparison(rules, material_folder, None, raw, ["random"], [0])
        (found[workers],) = comparison.run(workers, lambda _: None)
    one, two = ([(step["auc"], step["picks"], step["ranks"]) for step in found[each]["steps"]] for each in (1, 2))
    assert one == two


def test_runs_of_other_rules_are_refused_by_the_field_that_differs(tmp_path: Path, protocol: Protocol) -> None:
    kept(tmp_path, protocol)
    other = Comparison(replace(protocol, prevalence=0.2), tmp_path, None, tmp_path, ["auto"], [0])
    with pytest.raises(OtherRules, match="prevalence"):
        other.read()


def test_runs_on_other_images_are_refused_and_those_that_do_not_say_are_not(tmp_path: Path, protocol: Protocol) -> None:
    ours = replace(protocol, images_sha256="a" * 64)
    comparison = kept(tmp_path, ours)
    assert len(comparison.read()) == 1
    other = replace(comparison, protocol=replace(ours, images_sha256="b" * 64))
    with pytest.raises(OtherRules, match=r"made under other rules \(images_sha256\)"):
        other.read()
    file = comparison.file("auto", 0)
    run = json.loads(file.read_text())
    del run["protocol"]["images_sha256"]  # as an older version wrote it
    file.write_text(json.dumps(run))
    assert len(other.read()) == 1
    with pytest.raises(OtherRules, match=r"\(prevalence\)"):
        replace(other, protocol=replace(protocol, prevalence=0.2)).read()


@pytest.mark.parametrize("pool", ["idrid-natural", "idrid-5", "idrid-1", "chest-natural", "chest-5", "chest-1"])
def test_the_runs_that_are_published_can_be_gone_on_with(tmp_path: Path, pool: str) -> None:
    raw = Path(__file__).resolve().parents[2] / "docs/results/raw" / pool
    made = [json.loads(file.read_text()) for file in raw.glob("*.json")]
    contents = {run["protocol"]["images_sha256"] for run in made if "images_sha256" in run["protocol"]}
    assert len(contents) == 1  # the oldest runs do not say of which images
    rules = {**made[0]["protocol"], "images_sha256": contents.pop()}
    (tmp_path / "chest.toml").write_text(APPLICATION)
    application = load(tmp_path / "chest.toml" if pool.startswith("chest") else "fundus-microaneurysm")
    protocol = Protocol(**{**rules, "budgets": tuple(rules["budgets"]), "application": application.to_json()})
    found = Comparison(protocol, tmp_path, None, raw, ["random", "auto"], [0, 1, 2, 3, 4]).read()
    assert len(found) == len(made) + 5  # each by its own name, and what `auto` stands for by that name too
    assert ("random", 0) in found


@pytest.mark.parametrize(
    ("one", "other"),
    [("entropy@.25", "entropy@0.25"), ("entropy+badge", "entropy+badge5"), ("margin", "random:margin")],
)
def test_one_strategy_spelt_twice_is_refused(tmp_path: Path, protocol: Protocol, one: str, other: str) -> None:
    with pytest.raises(ValueError, match="are one strategy: leave one out") as caught:
        Comparison(protocol, tmp_path, None, tmp_path, ["random", one, other], [0])
    assert str(caught.value).startswith(f"{one} and {other} ")


def test_what_a_name_is_built_of_is_spelt_out(tmp_path: Path, protocol: Protocol) -> None:
    assert meaning("random:acft") == f"random:{meaning('acft')}"
    assert meaning("acft:badge") == f"{meaning('acft')}:badge"
    comparison = kept(tmp_path, protocol, strategy="random:acft", meaning="random:acft")  # as an older version wrote it
    assert ("random:acft", 0) in comparison.read()


def test_two_names_for_one_strategy_are_one_run(material_folder: Path, tmp_path: Path, protocol: Protocol) -> None:
    short = replace(protocol, budgets=(12,))
    comparison = Comparison(short, material_folder, None, tmp_path, ["auto", "random", meaning("auto")], [0])
    news: list[Progress] = []
    runs = {run["strategy"]: run for run in comparison.run(1, news.append)}
    assert runs.keys() == {"auto", "random", meaning("auto")}
    assert runs[meaning("auto")] == {**runs["auto"], "strategy": meaning("auto")}
    assert sorted(file.name for file in tmp_path.glob("*.json")) == ["auto.seed0.json", "random.seed0.json"]
    assert sorted(each.strategy for each in news if each.done) == sorted(runs)


def test_what_ended_is_kept_when_another_run_fails(material_folder: Path, tmp_path: Path, protocol: Protocol) -> None:
    # The second fails for real: no generator takes a negative seed.
    comparison = Comparison(replace(protocol, budgets=(12,)), material_folder, None, tmp_path, ["random"], [0, -1])
    with pytest.raises(ValueError, match="negative"):
        list(comparison.run(1, lambda _: None))
    assert json.loads(comparison.file("random", 0).read_text())["meaning"] == "random"
