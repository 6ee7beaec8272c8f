"""The keys of an application's file: their defaults, their errors, and what older models lack."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

import overread_learn.applications as package
from overread_learn.applications import PHASES, Application, Phase, load, names

LATER = ("geometry", "symmetries", "rotations", "context_px", "colour_jitter", "phases", "operating_point")


def source(name: str) -> str:
    return (Path(package.__file__).parent / f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", names())
def test_json_keeps_everything_also_what_equality_leaves_out(name: str) -> None:
    application = load(name)
    again = Application.from_json(application.to_json())
    assert [getattr(again, field.name) for field in fields(again)] == [
        getattr(application, field.name) for field in fields(application)
    ]
    assert again.to_json() == application.to_json()
    assert hash(again) == hash(application)


@pytest.mark.parametrize("name", ["lung-nodule", "fundus-microaneurysm"])
def test_a_model_from_before_the_newer_keys_still_belongs(name: str) -> None:
    table = json.loads(load(name).to_json())
    old = Application.from_json(json.dumps({key: value for key, value in table.items() if key not in LATER}))
    assert old == load(name)
    assert (old.geometry, old.symmetries, old.operating_point) == ("plane", tuple(range(8)), 0.5)


def test_what_cuts_otherwise_does_not_belong() -> None:
    application = load("lung-nodule")
    assert replace(application, context=20.0) != application
    assert replace(application, symmetries=(0, 1)) != application
    assert replace(application, operating_point=0.3, phases={}, context_px=9.0) == application


@pytest.mark.parametrize("field", [field.name for field in fields(Application)])
def test_every_key_is_explained(field: str) -> None:
    explained = [line.split(":")[0] for line in (Application.__doc__ or "").splitlines() if ": " in line]
    assert field in {key.strip() for keys in explained for key in keys.split(",")}


# Zhou et al. (CVPR 2017), Table 3: rate, rate of the head, gamma, epochs.
TABLE_3 = {
    ("colonoscopy-frame", "first"): (1e-4, 1e-3, 0.95, 20),
    ("colonoscopy-frame", "later"): (1e-4, 1e-4, 0.95, 15),
    ("colonoscopy-frame", "scratch"): (1e-4, 1e-3, 0.95, 20),
    ("polyp", "first"): (1e-3, 1e-2, 0.95, 5),
    ("polyp", "later"): (1e-4, 1e-3, 0.10, 3),
    ("polyp", "scratch"): (1e-3, 1e-2, 0.95, 10),
    ("polyp", "later_diversity"): (1e-3, 1e-2, 0.50, 3),
    ("pulmonary-embolism", "first"): (1e-3, 1e-2, 0.95, 10),
    ("pulmonary-embolism", "later"): (1e-3, 1e-2, 0.10, 5),
    ("pulmonary-embolism", "scratch"): (1e-3, 1e-2, 0.95, 20),
}


def test_table_3() -> None:
    found = {(name, phase): load(name).phases[phase] for name in names() for phase in load(name).phases}
    assert found == {key: Phase(*values) for key, values in TABLE_3.items()}


def test_a_phase_falls_back_on_the_shipped_values() -> None:
    polyp, nodule = load("polyp"), load("lung-nodule")
    assert polyp.phase("later_diversity").gamma == 0.5
    assert load("colonoscopy-frame").phase("later_diversity") == load("colonoscopy-frame").phases["later"]
    assert polyp.phase() == Phase(polyp.rate, polyp.head_rate, polyp.gamma, polyp.epochs)
    assert {nodule.phase(name) for name in PHASES} == {nodule.phase()}
    assert nodule.phase() == Phase(5e-4, 1e-3, 0.95, 24)


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        (
            "polyp",
            "[phases.scratch]",
            "[phases.middle]",
            r"phases: unknown phases \['middle'\]; known are first, later",
        ),
        (
            "polyp",
            "gamma = 0.50\n",
            "",
            "phases: later_diversity: needs exactly the keys rate, head_rate, gamma, epochs",
        ),
        ("polyp", "gamma = 0.50", "gamma = 0", "phases: later_diversity: rate, head_rate and gamma must be positive"),
        (
            "polyp",
            "gamma = 0.50",
            'gamma = "x"',
            "phases has the wrong type: later_diversity: gamma: numbers only, got 'x'",
        ),
        ("polyp", 'context_unit = "image"', 'context_unit = "frame"', "context_unit must be px or mm or image"),
        ("polyp", "operating_point = 0.5", "operating_point = 1", "operating_point must be above 0 and below 1"),
        (
            "polyp",
            "operating_point = 0.5",
            "operating_point = true",
            "operating_point has the wrong type: numbers only",
        ),
        ("polyp", "patches = 120", "patches = 121", "patches must be 1 to 8 x scales x shifts"),
        ("polyp", "input_px = 80", "input_px = [80]", "input_px has the wrong type: whole numbers only"),
        ("polyp", 'name = "polyp"', "name = 3", "name has the wrong type: text only"),
        ("polyp", "mean = [0.485, 0.456, 0.406]", 'mean = "ab"', "mean has the wrong type: a list only"),
        ("polyp", 'kind = "window"', 'kind = "curtain"', "normalisation: .*unknown kind 'curtain'"),
        ("histopathology", "colour_jitter = 0.2", "colour_jitter = 2", "colour_jitter must be from 0 to 1"),
        ("histopathology", "context_px = 96.0", "context_px = 0", "context_px must be positive"),
        ("carotid-imt", "symmetries = [0, 1]", "symmetries = [0, 8]", "symmetries must be different whole numbers"),
        ("carotid-imt", "symmetries = [0, 1]", "symmetries = [1, 1]", "symmetries must be different whole numbers"),
        ("carotid-imt", "symmetries = [0, 1]", "rotations = 2", "rotations must be at least 1, and 1 where geometry"),
        ("carotid-imt", "patches = 6", "patches = 19", "patches must be 1 to 2 x scales x shifts"),
        ("pulmonary-embolism", "patches = 45", "patches = 46", "patches must be 1 to 5 x scales x shifts"),
        ("pulmonary-embolism", 'context_unit = "mm"', 'context_unit = "px"', "a vessel's context must be in mm"),
        ("pulmonary-embolism", "[0.2, 0.0]", "[0.2, 0.1]", r"a vessel's shifts must be along it: \[x, 0\]"),
        ("pulmonary-embolism", "rotations = 5", "rotations = 5\nsymmetries = [0]", "leave symmetries out"),
        ("pulmonary-embolism", 'geometry = "vessel"', 'geometry = "tube"', "geometry must be plane or vessel"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, name: str, old: str, new: str, complaint: str) -> None:
    text = source(name)
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=rf"mine\.toml: .*{complaint}"):
        load(path)


def test_whole_numbers_and_floats_are_one_application(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(source("lung-nodule").replace("context = 36.0", "context = 36"))
    assert load(path).to_json() == load("lung-nodule").to_json()


def test_another_application_needs_a_toml_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "mammography.toml"
    path.write_text(source("histopathology").replace('"histopathology"', '"mammography"'))
    assert load(path).name == "mammography"
