from dataclasses import replace
from pathlib import Path

import pytest

from overread_learn.applications import Application, Background, Range, Window, load, names
from overread_learn.applications.normalisation import normalisation


def source(name: str) -> str:
    import overread_learn.applications as package  # noqa: PLC0415

    return (Path(package.__file__).parent / f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", names())
def test_every_application_loads_under_its_own_name_and_survives_json(name: str) -> None:
    application = load(name)
    assert application.name == name
    assert Application.from_json(application.to_json()) == application


def test_inhabitants() -> None:
    assert names() == (
        "carotid-imt",
        "colonoscopy-frame",
        "fundus-microaneurysm",
        "histopathology",
        "lung-nodule",
        "polyp",
        "pulmonary-embolism",
    )
    assert load("lung-nodule").normalisation == Window(-1000, 400)
    assert load("fundus-microaneurysm").normalisation == Background(2, 12, 4)
    assert {name: load(name).patches for name in names()} == {
        "carotid-imt": 6,
        "colonoscopy-frame": 21,
        "fundus-microaneurysm": 8,
        "histopathology": 8,
        "lung-nodule": 8,
        "polyp": 120,
        "pulmonary-embolism": 45,
    }
    assert load("colonoscopy-frame").k == 5


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'liver'; known are carotid-imt, .*, pulmonary-embolism"):
        load("liver")


@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_of_ones_own(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(source("lung-nodule").replace('"lung-nodule"', '"mine"'))
    assert load(str(path) if as_text else path) == replace(load("lung-nodule"), name="mine")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("momentum = 0.9", "", r"missing keys \['momentum'\]"),
        ("momentum = 0.9", "momentum = 0.9\ncolour = 1", r"unknown keys \['colour'\]"),
        ("momentum = 0.9", "momentum = ", "mine.toml"),
        ("momentum = 0.9", "momentum = 1.5", "momentum must be"),
        ("patches = 8", "patches = 121", r"patches must be 1 to 8 x scales x shifts"),
        ("patches = 8", "patches = 8.5", "whole numbers"),
        ("patches = 8", 'patches = "8"', "wrong type"),
        ('context_unit = "mm"', 'context_unit = "inch"', "px or mm"),
        ("scales = [1.0, 0.9, 1.1]", "scales = 1.0", "wrong type"),
        ("scales = [1.0, 0.9, 1.1]", "scales = [1.0, -0.9]", "scales must be positive"),
        ('kind = "window"', 'kind = "curtain"', "unknown kind 'curtain'; known are window, background, range"),
        ("high = 400.0", "high = -2000.0", "not below high"),
        ('classes = ["negative", "positive"]', 'classes = ["positive"]', "at least two"),
        ("[0.05, 0.0]", "[0.05]", "shifts must be pairs"),
        ("input_px = 64", "input_px = 100000", "input_px must be from 1 to 4096"),
        ("context = 36.0", "context = 200000.0", "context, by the largest of scales, must be at most 10000"),
        ("context = 36.0", "context = 9500.0", "context, by the largest of scales, must be at most 10000"),
        ("context_px = 52.0", "context_px = 9500.0", "context_px, by the largest of scales"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = source("lung-nodule")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=complaint):
        load(path)


def test_json_that_is_no_application() -> None:
    with pytest.raises(ValueError, match="not an object"):
        Application.from_json("[]")


def test_normalisation_tables() -> None:
    assert normalisation({"kind": "range"}) == Range(0.5, 99.5)
    with pytest.raises(ValueError, match=r"unknown keys \['gamma'\], missing keys \['high'\]"):
        normalisation({"kind": "window", "low": 0, "gamma": 1})
    with pytest.raises(ValueError, match="percentiles"):
        normalisation({"kind": "range", "low": 99, "high": 1})
    with pytest.raises(ValueError, match="whole downscale"):
        normalisation({"kind": "background", "downscale": 0, "sigma": 1, "gain": 1})
