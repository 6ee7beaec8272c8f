from __future__ import annotations

import csv
import hashlib
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from overread.candidates.blobs import LaplacianOfGaussian
from overread.pacs import pixels
from overread.pacs.frames import plane
from overread.simulation import phantoms

STUDIES = 16


class Study(NamedTuple):
    volume: NDArray[Any]
    spacing: float
    gap: float
    headers: list[Any]
    nodules: dict[str, list[tuple[int, float, float, float]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms")
    done: list[int] = []
    assert phantoms.generate(out, studies=STUDIES, seed=5, on_progress=lambda: done.append(1)) == out / "truth.csv"
    assert len(done) == STUDIES
    return out


@pytest.fixture(scope="module")
def made(folder: Path) -> list[Study]:
    with (folder / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    found = []
    for one in sorted(folder.glob("study-*")):
        headers = [pixels.read(file.read_bytes()) for file in sorted(one.glob("*.dcm"))]
        names = [str(header.SOPInstanceUID) for header in headers]
        nodules = defaultdict(list)
        for row in truth:
            if row["study_uid"] == headers[0].StudyInstanceUID and row["label"] == "1":
                place = (names.index(row["sop_uid"]), float(row["x"]), float(row["y"]), float(row["radius_px"]))
                nodules[row["lesion"]].append(place)
        volume = np.stack([pixels.decode(header) for header in headers])
        spacing, gap = float(headers[0].PixelSpacing[0]), float(headers[0].SliceThickness)
        found.append(Study(volume, spacing, gap, headers, dict(nodules)))
    return found


def test_studies_are_ct_series_in_order(made: list[Study]) -> None:
    assert len(made) == STUDIES
    makers, patients = set(), []
    for study in made:
        assert 16 <= len(study.headers) <= 24
        assert study.volume.dtype == np.int16
        heights = [place.height for header in study.headers if (place := plane(header)) is not None]
        assert np.allclose(np.diff(heights), study.gap)
        makers.add(study.headers[0].Manufacturer)
        patients.append(study.headers[0].PatientID)
        assert study.headers[0].PatientID.startswith("PHANTOM-")
        assert len({header.SeriesInstanceUID for header in study.headers}) == 1
        assert -950 < np.median(study.volume[:, 90:140, 60:75]) < -780  # lung
    assert len(makers) >= 2
    assert len(set(patients)) < STUDIES  # somebody came twice


def test_truth_lies_on_what_is_bright(made: list[Study]) -> None:
    for study in made:
        for places in study.nodules.values():
            index, x, y, radius = max(places, key=lambda place: place[3])
            assert radius * study.spacing * 1.4 >= 3.0
            assert radius * study.spacing < 8.6
            inside = study.volume[index, round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].mean()
            assert inside > -800
            assert len(places) < len(study.volume)  # it ends above or below


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    def digests(name: str, seed: int) -> list[str]:
        phantoms.generate(tmp_path / name, studies=2, seed=seed)
        files = sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]

    assert digests("a", 1) == digests("b", 1)
    assert digests("c", 2) != digests("a", 1)


def test_the_detector_finds_most_nodules_and_many_vessels(
    made: list[Study], capsys: pytest.CaptureFixture[str]
) -> None:
    labels, scores = [], []
    nodules = hits = 0
    begun = time.process_time()
    for study in made:
        spots = LaplacianOfGaussian().find(study.volume, spacing_mm=study.spacing, gap_mm=study.gap)
        hit: set[str] = set()
        for spot in spots:
            at = {
                name
                for name, places in study.nodules.items()
                for index, x, y, radius in places
                if index == spot.slice and np.hypot(x - spot.x, y - spot.y) <= max(radius, 3)
            }
            labels.append(bool(at))
            scores.append(spot.score)
            hit |= at
        hits, nodules = hits + len(hit), nodules + len(study.nodules)
        assert sum(labels[-len(spots) :]) <= len(hit)  # one candidate a nodule
    seconds = (time.process_time() - begun) / len(made)
    recall, share, auc = hits / nodules, float(np.mean(labels)), roc_auc_score(labels, scores)
    with capsys.disabled():
        sys.stdout.write(
            f"\nphantoms: {nodules} nodules, recall {recall:.2f}, {len(labels) / len(made):.1f} candidates a study, "
            f"{share:.2f} of them nodules, AUC of the detector's own score {auc:.2f}, {seconds:.2f} s of CPU a study\n"
        )
    assert 0.65 <= recall < 1
    assert 0.1 < share < 0.35
    assert 0.55 < auc < 0.8
    assert seconds < 1
