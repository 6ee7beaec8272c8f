from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from overread.candidates import generator
from overread.candidates.blobs import LaplacianOfGaussian
from overread.core.errors import Misconfigured


def installed(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = EntryPoints(EntryPoint(name, value, generator.GROUP) for name, value in values.items())
    monkeypatch.setattr(generator, "entry_points", lambda group: points.select(group=group))


def test_a_generator_is_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, log="overread.candidates.blobs:LaplacianOfGaussian")
    assert isinstance(generator.load("log"), LaplacianOfGaussian)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nowhere.at.all:Thing", "can't be loaded"),
        ("overread.candidates.blobs:Nothing", "can't be loaded"),
        ("builtins:dict", "has no name, version, find"),
    ],
)
def test_one_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    installed(monkeypatch, bad=value)
    with pytest.raises(Misconfigured, match=reason):
        generator.load("bad")


def test_an_unknown_name_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, log="x:y")
    with pytest.raises(Misconfigured, match="'lgo' is not installed; installed are: log"):
        generator.load("lgo")
