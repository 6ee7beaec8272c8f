"""A study of depths is kept finding by finding, and goes on under the same rules only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from overread_learn.depth import SCRATCH, Network
from overread_learn.evaluate import macro_auc
from overread_learn.experiment.comparison import OtherRules
from overread_learn.experiment.depths import DepthStudy, cohort, held
from overread_learn.experiment.material import Material
from overread_learn.experiment.processes import processor
from overread_learn.experiment.ranks import unpacked
from overread_learn.finetune import recipe
from overread_learn.nets import Classifier


@pytest.fixture
def study(material: Material, material_folder: Path, tmp_path: Path) -> DepthStudy:
    torch.save(Classifier("squeezenet1_1", 2).net.state_dict(), tmp_path / "weights.pth")
    terms = recipe(material.application, seed=0)
    network = Network("squeezenet1_1", 2, tmp_path / "weights.pth", terms, None)
    file = tmp_path / "raw" / "depth.json"
    return DepthStudy(network, material.application, material_folder, file, [100], [0], [1], 30, 1)


def row(depth: int | str) -> dict[str, object]:
    return {"share": 100, "depth": depth, "seed": 0}


def test_what_ended_is_kept_though_another_failed(study: DepthStudy, material: Material) -> None:
    # The second fails for real: no generator takes a negative seed.
    with pytest.raises(ValueError, match="negative"):
        list(replace(study, seeds=[0, -1]).run())
    kept = study.read()
    assert list(kept) == [(100, 1, 0)]
    found = kept[100, 1, 0]
    assert list(study.run()) == [found]  # and nothing is run
    truth = material.labels[material.test]
    assert found["labels"] == 30
    assert found["processor"] == processor()
    assert macro_auc(truth, unpacked(found["ranks"], len(truth))) == pytest.approx(found["auc"])
    table = json.loads(study.file.read_text())
    assert table["test"]["labels"] == truth.tolist()
    assert table["test"]["patients"] == [material.patients[at] for at in np.flatnonzero(material.test)]


def test_a_depth_that_the_network_does_not_have_is_said_before_any_is_tried(study: DepthStudy) -> None:
    with pytest.raises(ValueError, match=r"depths 1 \(the head\) to 5 .*, got 9"):
        list(replace(study, depths=[1, 9]).run())
    assert not study.file.exists()


def test_first_seeds_first_and_scratch_last(study: DepthStudy) -> None:
    random = study.network._replace(scratch=study.network.recipe)
    wide = replace(study, network=random, sizes=[50, 100], seeds=[0, 1], depths=[2])
    shares = [(share, depth) for share in (50, 100) for depth in (2, SCRATCH)]
    assert wide.wished() == [(*each, seed) for seed in (0, 1) for each in shares]


def test_findings_stand_in_one_order_however_they_ended(study: DepthStudy) -> None:
    study.file.parent.mkdir()
    ended: list[int | str] = [10, SCRATCH, 2, 1]
    for depth in ended:
        study.keep(row(depth), study.setting())
    assert [depth for _, depth, _ in study.read()] == [1, 2, 10, SCRATCH]


def test_findings_of_other_circumstances_share_no_table(study: DepthStudy) -> None:
    study.file.parent.mkdir()
    study.keep(row(1), study.setting())
    assert study.setting()["workers"] == 1
    terms = replace(study.network.recipe, epochs=7)
    for other, field in (
        (replace(study, workers=2), "workers: 1 then, 2 now"),
        (replace(study, most=29), "most: 30 then, 29 now"),
        (replace(study, validation_patches=20), "validation_patches: None then, 20 now"),
        (replace(study, network=study.network._replace(recipe=terms)), "recipe: .*'epochs': 7"),
    ):
        with pytest.raises(OtherRules, match=field):
            other.read()
    longer = replace(study, sizes=[10], seeds=[0, 1], depths=None)
    assert longer.read().keys() == {(100, 1, 0)}


def test_findings_on_other_images_share_no_table(study: DepthStudy) -> None:
    study.file.parent.mkdir()
    study.keep(row(1), study.setting())
    table = json.loads(study.file.read_text())
    study.file.write_text(json.dumps({**table, "setting": {**table["setting"], "images_sha256": "0" * 64}}))
    with pytest.raises(OtherRules, match="images_sha256: 0000"):
        study.read()
    del table["setting"]["images_sha256"]  # as an older version began it
    study.file.write_text(json.dumps(table))
    assert len(study.read()) == 1


def test_learning_from_scratch_may_join_later_but_not_change(study: DepthStudy) -> None:
    study.file.parent.mkdir()
    study.keep(row(1), study.setting())
    terms = study.network.recipe
    random = replace(study, network=study.network._replace(scratch=terms))
    assert len(random.read()) == 1
    random.keep(row(SCRATCH), random.setting())
    assert len(study.read()) == 2
    other = replace(study, network=study.network._replace(scratch=replace(terms, rate=0.5)))
    with pytest.raises(OtherRules, match="scratch"):
        other.read()


def test_a_cohort_is_the_three_sides(material: Material) -> None:
    found = cohort(material)
    sides = [set(found.patients), set(found.validation.patients), set(found.test.patients)]
    assert set.union(*sides) == set(material.patients)
    assert len(found.train) + len(found.validation.labels) + len(found.test.labels) == len(material)
    assert found.test.labels.tolist() == material.labels[material.test].tolist()
    assert found.test.patches[0].shape == (3, 3, 32, 32)


def test_validation_is_thinned_out_in_proportion_and_always_in_the_same_way(material: Material) -> None:
    whole, part, again = held(material), held(material, 6), held(material, 6)
    assert len(part.labels) == 6 < len(whole.labels)
    assert abs(part.labels.mean() - whole.labels.mean()) <= 1 / 6
    assert all(np.array_equal(one, other) for one, other in zip(part.patches, again.patches, strict=True))
    assert len(whole.labels) == material.validation.sum()


def test_two_patients_of_each_class_stay_however_many_candidates_one_has(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "validation", ~material.test)
    places = np.flatnonzero(~material.test)
    positive = places[material.labels[places] == 1]
    # One patient has all positives but one, and every draw in proportion begins among those.
    owners = ["many" if at in positive[:-1] else material.patients[at] for at in range(len(material))]
    monkeypatch.setattr(material, "patients", owners)
    few = held(material, 6)
    having = {patient for patient, label in zip(few.patients, few.labels, strict=True) if label}
    assert having == {"many", owners[positive[-1]]}
    assert len(few.labels) == 6


def test_validation_has_fewer_patches_of_each_where_all_would_be_too_many(material: Material) -> None:
    found = held(material, patches=2 * int(material.validation.sum()))
    assert {len(each) for each in found.patches} == {2}
    assert np.array_equal(found.patches[0], material.patches(int(np.flatnonzero(material.validation)[0]), 2))


@pytest.mark.parametrize("content", ["{}", "[]", "depth", '{"setting": {"scratch": null}, "findings": [{}]}'])
def test_a_file_that_is_no_study_is_named(study: DepthStudy, content: str) -> None:
    study.file.parent.mkdir()
    study.file.write_text(content)
    with pytest.raises(ValueError, match=r"depth\.json is not of a study of depths; remove it"):
        study.read()
