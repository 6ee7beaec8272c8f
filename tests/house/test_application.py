"""A house takes the applications that its rooms can serve, and says of the others why not, before a candidate comes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread import config
from overread.bootstrap import build
from overread.cli.supervisor import Supervisor
from overread.core.errors import Misconfigured
from overread.house import House, application
from overread.simulation import demo
from overread_learn import applications
from overread_learn.export import export
from overread_learn.nets import build as network
from overread_learn.patches import cut, prepare
from overread_learn.scoring import Scorer, probability

UNSERVED = {
    "carotid-imt": r"carotid-imt has 3 classes \(background, lumen-intima, media-adventitia\)",
    "pulmonary-embolism": r"pulmonary-embolism cuts its patches from a volume \(geometry vessel\)",
}


@pytest.mark.parametrize("name", sorted(set(applications.names()) - set(UNSERVED)))
def test_what_is_taken_can_be_cut_and_scored(name: str, tmp_path: Path) -> None:
    found = application(name)
    image = np.full((64, 64), 100, np.uint8)
    patches = cut(prepare(image, found), 30.0, 30.0, found, 1.0)
    export(network("squeezenet1_1", len(found.classes), None, 1), found, tmp_path / "model.onnx", extra={})
    assert 0 <= probability(Scorer(tmp_path / "model.onnx").logits(patches)) <= 1


@pytest.mark.parametrize("name", UNSERVED)
@pytest.mark.parametrize("room", ["candidates", "inference", "trainer.selection", "trainer.round", "rollout"])
def test_no_room_starts_on_what_it_could_not_serve(open_house: Callable[..., House], name: str, room: str) -> None:
    with pytest.raises(Misconfigured, match=f"^application: {UNSERVED[name]}.*; choose one of "):
        build(open_house(application=name), room)


def test_up_says_so_before_it_starts_a_room_and_leaves_no_lock(tmp_path: Path) -> None:
    settings = config.load(data=tmp_path / "house", application="carotid-imt")
    for _ in range(2):
        with pytest.raises(Misconfigured, match=r"^application: carotid-imt has 3 classes"), Supervisor(settings):
            pass


def test_the_demo_says_so_before_it_wraps_the_images(tmp_path: Path) -> None:
    asked = {"weights": None, "strategy": "auto", "data": tmp_path / "absent", "application": "carotid-imt"}
    with pytest.raises(Misconfigured, match=r"^application: carotid-imt has 3 classes"):
        demo._plan(Namespace(**asked, budget=None), tmp_path)


@pytest.mark.parametrize("name", UNSERVED)
def test_a_file_to_serve_is_held_to_the_same(open_house: Callable[..., House], name: str, tmp_path: Path) -> None:
    """`overread run inference --model FILE` asks the file for its application, and not the house."""
    file, found = tmp_path / "model.onnx", applications.load(name)
    export(network("squeezenet1_1", len(found.classes), None, 1), found, file, extra={})
    with pytest.raises(Misconfigured, match=rf"^inference\.model: .*model\.onnx: {UNSERVED[name]}"):
        build(open_house(inference__model=file), "inference")
