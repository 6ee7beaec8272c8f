"""A labelled set comes in with its own split, or not at all."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread import config
from overread.cli.labels import _keep_split
from overread.core.errors import Misconfigured
from overread.core.splits import Split
from overread.simulation import photographs


def test_a_set_whose_split_the_house_does_not_know_is_refused_with_the_way_out(tmp_path: Path) -> None:
    source = tmp_path / "set"
    (source / "images").mkdir(parents=True)
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(source / "images" / "eye.jpg")
    columns = ("candidate_id", "patient_id", "image_id", "split", "x", "y", "label")
    with (source / "candidates.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, ("c1", "P1", "eye", "test", "5", "5", "1")])
    wrapped = photographs.wrap(source, tmp_path / "out")
    data = tmp_path / "house"
    data.mkdir()
    with pytest.raises(Misconfigured, match=r"--set splits=.*splits\.csv"):
        _keep_split(config.load(data=data), wrapped.splits)
    knowing = config.load(data=data, splits=data / "splits.csv")
    assert knowing.given_splits() == {"P1": Split.LOCKED}
    _keep_split(knowing, wrapped.splits)
