"""What an application's file may not say, and how a file that cannot be read is named."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import overread_learn.applications as package
from overread_learn.applications import Application, Background, Phase, Range, Window, load

BOM = b"\xef\xbb\xbf"
NAN, INF = math.nan, math.inf


def source(name: str) -> str:
    return (Path(package.__file__).parent / f"{name}.toml").read_text(encoding="utf-8")


def refused(path: Path, complaint: str) -> str:
    """Load a file that must be refused, in one line that begins with its name; returns the line."""
    with pytest.raises(ValueError, match=complaint) as caught:
        load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


NAMES = ["../../etc/x", "", "a\nb", "läsion mit leer", "läsion", "a b", "a_b", "mine\n", "a" * 101]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_letters_digits_and_hyphens(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(source("polyp").replace('"polyp"', json.dumps(name, ensure_ascii=False), 1), encoding="utf-8")
    refused(path, "name must be 1 to 100 of A to Z, a to z, 0 to 9 and hyphens")
    assert replace(load("polyp"), name="My-2nd-lesion").name == "My-2nd-lesion"


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "true", "false", "1" + 400 * "0"])
@pytest.mark.parametrize(
    ("name", "line", "key"),
    [
        ("polyp", "context = 0.3", "context"),
        ("histopathology", "context_px = 96.0", "context_px"),
        ("histopathology", "colour_jitter = 0.2", "colour_jitter"),
        ("polyp", "alpha = 0.25", "alpha"),
        ("polyp", "operating_point = 0.5", "operating_point"),
        ("polyp", "rate = 5e-4", "rate"),
        ("polyp", "head_rate = 1e-3\ngamma = 0.95\nepochs = 24", "head_rate"),
        ("polyp", "gamma = 0.95\nepochs = 24", "gamma"),
        ("polyp", "momentum = 0.9", "momentum"),
        ("polyp", "scales = [1.0, 1.2, 1.5]", "scales"),
        ("polyp", "shifts = [[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [-0.1, 0.0], [0.0, -0.1]]", "shifts"),
        ("polyp", "mean = [0.485, 0.456, 0.406]", "mean"),
        ("polyp", "std = [0.229, 0.224, 0.225]", "std"),
        ("lung-nodule", "low = -1000.0", "low"),
        ("lung-nodule", "high = 400.0", "high"),
        ("carotid-imt", "low = 0.5", "low"),
        ("fundus-microaneurysm", "sigma = 12.0", "sigma"),
        ("fundus-microaneurysm", "gain = 4.0", "gain"),
        ("polyp", "gamma = 0.50", "phases.*gamma"),
    ],
)
def test_every_number_is_finite_and_a_number(tmp_path: Path, name: str, line: str, key: str, number: str) -> None:
    text = source(name)
    assert line in text
    said, equals, given = line.partition(" = ")
    value, end, rest = given.partition("\n")
    if value.startswith("["):  # the last of a list, and of the last list within one
        value = value[: value.rindex(" ") + 1] + number + "]" * (len(value) - len(value.rstrip("]")))
    else:
        value = number
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(line, f"{said}{equals}{value}{end}{rest}"))
    refused(path, rf"{key}.*(numbers only|finite numbers only), got ")


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("polyp", '["negative", "positive"]', '["", "b"]', "classes must be names of one line, without blanks"),
        ("polyp", '["negative", "positive"]', '["a", "b "]', "classes must be names of one line, without blanks"),
        ("polyp", '["negative", "positive"]', '["a", "b\\nc"]', "classes must be names of one line, without blanks"),
        ("polyp", '["negative", "positive"]', '["b", "b"]', "classes must be at least two different names"),
        ("polyp", "std = [0.229", "std = [1e-300", "std from 0.001 to 1"),
        ("polyp", "mean = [0.485", "mean = [123.675", "mean from 0 to 1"),
        ("polyp", "input_px = 80", "input_px = 4000", "patches of input_px must hold at most 1073741824 values"),
        ("pulmonary-embolism", "rotations = 5", "rotations = 1000000000", "rotations must be .* at most 360"),
        ("polyp", "scales = [1.0, 1.2, 1.5]", "scales = [1.0, 1.2, 1.2]", "scales must be different"),
        ("polyp", "shifts = [[0.0, 0.0], [0.1,", "shifts = [[0.0, 0.0], [0.006,", "so must shifts, in whole pixels"),
        ("polyp", "epochs = 24", "epochs = 24.0", "epochs has the wrong type: whole numbers only, got 24.0"),
        ("polyp", "patches = 120", "patches = true", "patches has the wrong type: whole numbers only, got True"),
        ("fundus-microaneurysm", "downscale = 2", "downscale = true", "downscale: whole numbers only, got True"),
        ("fundus-microaneurysm", "downscale = 2", "downscale = 1000000000", "downscale from 1 to 64"),
        ("fundus-microaneurysm", "sigma = 12.0", "sigma = 1e9", "sigma from 0.25 to 1000"),
        ("fundus-microaneurysm", "sigma = 12.0", "sigma = 1e-9", "sigma from 0.25 to 1000"),
        ("fundus-microaneurysm", "gain = 4.0", "gain = 1e300", "gain above 0, at most 255"),
        ("lung-nodule", "low = -1000.0", "low = -1e300", "window: needs values within 4294967296 of 0"),
        ("lung-nodule", "low = -1000.0, high = 400.0", "low = 0, high = 1e-320", "window: needs values within"),
        ("lung-nodule", '{ kind = "window", low = -1000.0, high = 400.0 }', '"window"', "a table only, got 'window'"),
        ("lung-nodule", "low = -1000.0", 'low = "x"', "normalisation has the wrong type: low: numbers only, got 'x'"),
        (
            "lung-nodule",
            "momentum = 0.9",
            "momentum = 0.9\nphases = 3",
            "phases has the wrong type: a table only, got 3",
        ),
        ("lung-nodule", "momentum = 0.9", "momentum = 0.9\nphases.first = 3", "first: a table only, got 3"),
    ],
)
def test_what_no_training_could_use(tmp_path: Path, name: str, old: str, new: str, complaint: str) -> None:
    text = source(name)
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    refused(path, complaint)


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("make", [
    lambda value: replace(load("polyp"), head_rate=value),
    lambda value: replace(load("polyp"), gamma=value),
    lambda value: replace(load("polyp"), rate=value),
    lambda value: replace(load("polyp"), mean=(value, 0.5, 0.5)),
    lambda value: replace(load("polyp"), std=(1.0, value, 1.0)),
    lambda value: replace(load("polyp"), shifts=((0.0, value),)),
    lambda value: Phase(1e-3, value, 0.9, 3),
    lambda value: Phase(1e-3, 1e-2, value, 3),
    lambda value: Window(0.0, value),
    lambda value: Window(-value, 0.0),
    lambda value: Range(0.0, value),
    lambda value: Background(2, value, 4.0),
    lambda value: Background(2, 12.0, value),
])  # fmt: skip
def test_code_cannot_say_it_either(make: Callable[[float], Any], value: float) -> None:
    with pytest.raises(ValueError, match=r"must|needs|not below"):
        make(value)


def test_a_mark_at_the_beginning_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(BOM + source("polyp").replace("\n", "\r\n").encode())
    assert load(path).to_json() == load("polyp").to_json()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('name = "läsion"'.encode("latin-1"), r"not a TOML file in UTF-8 \(.*can't decode byte 0xe4"),
        ('name = "x"'.encode("utf-16"), "not a TOML file in UTF-8"),
        (b"name = ", r"Invalid value \(at end of document\)"),
        (BOM + BOM + b'name = "x"', r"Invalid statement \(at line 1, column 1\)"),
        (b"epochs = " + b"1" * 5000, "integer string"),
        (b"epochs = " + b"[" * 100_000, "recursion"),
    ],
    ids=["latin-1", "utf-16", "broken", "two marks", "digits", "brackets"],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    refused(path, complaint)


@pytest.mark.parametrize("document", ["{", "[" * 100_000])
def test_what_is_no_json_is_said(document: str) -> None:
    with pytest.raises(ValueError, match="application: not JSON"):
        Application.from_json(document)


def test_json_knows_nan_and_this_house_does_not() -> None:
    document = load("polyp").to_json().replace('"gamma": 0.95, "geometry"', '"gamma": NaN, "geometry"')
    with pytest.raises(ValueError, match="JSON: gamma: finite numbers only, got nan"):
        Application.from_json(document)
