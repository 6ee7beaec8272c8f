"""`evaluate`: which images and lesions FROC rests on, and what is printed."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.said import Said
from experiment.console import Console
from experiment.pages import Page
from overread_learn.applications import load
from overread_learn.cli.scored import score_test
from overread_learn.evaluate.verdict import SHARES
from overread_learn.experiment.candidate_set import read
from overread_learn.export import export
from overread_learn.nets import build
from overread_learn.scoring import Scorer, softmax

Row = dict[str, str]
Evaluate = Callable[..., Said]


@pytest.fixture
def evaluate(learn: Console, network: Path) -> Evaluate:
    return lambda folder, *words: learn("evaluate", "--candidates", folder, "--model", network / "model.onnx", *words)


def rewritten(dots: Path, folder: Path, change: Callable[[Row], Row | None]) -> Path:
    """The set of dots with other rows, or fewer."""
    shutil.copytree(dots / "images", folder / "images")
    with (dots / "candidates.csv").open(newline="") as file:
        rows = [row for one in csv.DictReader(file) if (row := change(one)) is not None]
    with (folder / "candidates.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def without_i04(row: Row) -> Row | None:
    """Of a test patient's image, no candidate at all."""
    return None if row["image_id"] == "i04" else row


def froc(facts: dict[str, Any]) -> float:
    last: float = facts["curves"]["froc"]["false_alarms"][-1]
    return last * facts["images"]


def test_images_of_nobody_count_where_all_patients_are_test_patients(
    evaluate: Evaluate, dots: Path, tmp_path: Path
) -> None:
    def all_test(row: Row) -> Row | None:
        return without_i04({**row, "split": "test"})

    folder = rewritten(dots, tmp_path / "set", all_test)
    (folder / "images" / "Thumbs.db").write_bytes(b"no image")
    said = evaluate(folder, "--json")
    assert (said.facts["images"], said.facts["images_without_candidate"], said.facts["patients"]) == (20, 1, 19)
    assert froc(said.facts) == pytest.approx(said.facts["n_neg"])
    assert "stand in no row" not in said.err


def test_elsewhere_they_do_not_count_unless_somebody_says_so(evaluate: Evaluate, dots: Path, tmp_path: Path) -> None:
    folder = rewritten(dots, tmp_path / "set", without_i04)
    said = evaluate(folder, "--json")
    assert (said.facts["images"], said.facts["images_without_candidate"]) == (4, 0)
    assert "1 in images/ stand in no row of candidates.csv and are not counted" in said.err
    assert "FROC rests on 4;" in said.err
    five = evaluate(folder, "--images", "5", "--json")
    assert (five.facts["images"], five.facts["images_without_candidate"]) == (5, 1)
    assert froc(five.facts) == pytest.approx(froc(said.facts))
    assert five.facts["cpm"] >= said.facts["cpm"]
    assert "stand in no row" not in five.err
    assert "images_without_candidate" in evaluate(folder, "--images", "5").out


def test_a_file_says_which_images_whose_and_what_was_missed(evaluate: Evaluate, dots: Path, tmp_path: Path) -> None:
    folder, file = rewritten(dots, tmp_path / "set", without_i04), tmp_path / "images.csv"
    file.write_text("image_id,patient_id,missed\ni00,,2\ni04,p04,1\ni08,p08,\ni12,p12,0\ni16,p16,\n")
    facts = evaluate(folder, "--images", file, "--json").facts
    alone = evaluate(folder, "--images", "5", "--json").facts
    assert (facts["images"], facts["missed"], facts["lesions"]) == (5, 3, alone["lesions"] + 3)
    assert facts["cpm"] == pytest.approx(alone["cpm"] * alone["lesions"] / facts["lesions"])
    assert facts["cpm_interval"] is not None
    said = evaluate(folder, "--missed", "3", "--images", "5", "--json")
    assert said.facts["cpm"] == facts["cpm"]
    assert said.facts["cpm_interval"] is None
    assert "cpm has no interval" in said.err


@pytest.mark.parametrize(
    ("text", "words", "complaint"),
    [
        ("name\ni00\n", (), "the column image_id is missing"),
        ("image_id\ni00\ni00\n", (), "line 3: image_id is there twice"),
        ("image_id\ni00\n", (), "4 images with a judged candidate are missing, the first is i04"),
        ("image_id,patient_id\ni00,p09\n", (), "line 2: in candidates.csv this image is of another patient"),
        ("image_id,missed\ni00,-1\n", (), "line 2: missed is a whole number from 0, not '-1'"),
        ("image_id,missed\ni00,1\n", ("--missed", "1"), "leave one out"),
        ("image_id,patient_id,missed\ni00,p00\n", (), "line 2: 2 values, and there are 3 columns"),
        ("image_id,missed\ni00,1,5\n", (), "line 2: 3 values, and there are 2 columns"),
        ("image_id,missed,missed\ni00,1,2\n", (), "the columns 'missed' stand there twice"),
        ("image_id\ni00 \n", (), "line 2: image_id 'i00 ' begins or ends with a blank"),
        ("image_id,patient_id\nx,\xc3\xa9\ny,e\xcc\x81\n", (), "line 3: patient_id 'e\\u0301' was spelt '\\xe9'"),
        ("image_id\n\xff\n", (), "not a CSV file in UTF-8"),
        (None, (), "is neither a number nor a file"),
        ("3", (), "--images: 3 are fewer than the 5 that have a judged candidate"),
    ],
)
def test_images_that_contradict_the_set_are_refused(
    evaluate: Evaluate, dots: Path, tmp_path: Path, text: str | None, words: tuple[str, ...], complaint: str
) -> None:
    file = tmp_path / "images.csv"
    if text:
        file.write_bytes(text.encode("latin-1"))
    said = evaluate(dots, "--images", text if text == "3" else file, *words)
    assert said.code == 2
    assert complaint in said.err
    assert len(said.err.splitlines()) == 1


def test_candidates_of_one_lesion_are_one(evaluate: Evaluate, dots: Path, tmp_path: Path) -> None:
    def one_a_patient(row: Row) -> Row:
        return {**row, "lesion_id": "the one" if row["label"] == "1" else ""}

    facts = evaluate(rewritten(dots, tmp_path / "one", one_a_patient), "--json").facts
    each = evaluate(dots, "--json").facts
    with (dots / "candidates.csv").open(newline="") as file:
        having = {row["patient_id"] for row in csv.DictReader(file) if (row["split"], row["label"]) == ("test", "1")}
    assert facts["lesions"] == len(having) < each["lesions"] == each["positives"]
    assert facts["auc"] == each["auc"], "the others count candidates"
    said = evaluate(rewritten(dots, tmp_path / "wrong", lambda row: {**row, "lesion_id": "a"}))
    assert said.code == 2
    assert "has label 0 and a lesion_id" in said.err


def test_three_classes_are_printed_each_against_the_rest(learn: Console, dots: Path, tmp_path: Path) -> None:
    application = replace(load(dots / "dots.toml"), classes=("none", "small", "large"))
    export(build("squeezenet1_1", 3, None, seed=0), application, tmp_path / "model.onnx", extra={})

    def three(row: Row) -> Row:
        return {**row, "split": "test", "label": str(int(row["candidate_id"][-1]) % 3)}

    words = ("evaluate", "--candidates", rewritten(dots, tmp_path / "set", three), "--model", tmp_path / "model.onnx")
    facts = json.loads(learn(*words, "--json").out)
    assert [one["class"] for one in facts["classes"]] == ["none", "small", "large"]
    assert facts["auc_interval"][0] <= facts["auc"] <= facts["auc_interval"][1]
    said = learn(*words).out
    assert "each class against the rest" in said
    rows = [line for line in said.splitlines() if "large" in line]
    assert any("average_precision" in row and " to " in row for row in rows)


def test_the_operating_point_is_the_applications(learn: Console, dots: Path, tmp_path: Path) -> None:
    application = load(dots / "dots.toml")
    network = build("squeezenet1_1", 2, None, seed=0)
    words = ("evaluate", "--candidates", dots, "--model", tmp_path / "model.onnx", "--json")
    export(network, application, tmp_path / "model.onnx", extra={})
    roc = learn(*words).facts["curves"]["roc"]
    middle = len(roc["thresholds"]) // 2
    point = roc["thresholds"][middle]
    export(network, replace(application, operating_point=point), tmp_path / "model.onnx", extra={})
    facts = learn(*words, "--page", tmp_path / "page.html").facts
    assert facts["operating_point"] == point
    place = (1 - facts["specificity"], facts["sensitivity"])
    assert place == pytest.approx((roc["fpr"][middle], roc["tpr"][middle]))
    assert facts["curves"]["roc"] == roc
    page = Page((tmp_path / "page.html").read_text())
    (mark,) = (one for one in page.attributes("circle") if one.get("class") == "mark")
    assert (float(mark["cx"] or 0), float(mark["cy"] or 0)) == pytest.approx(
        (44 + 420 * place[0], 298 - 286 * place[1]), abs=0.051
    )
    assert f"the dot is where a probability of {point:g} is enough" in (tmp_path / "page.html").read_text()
    table = learn(*words[:-1]).out
    assert all(name.replace("_", " ") in table.replace("_", " ") for name in SHARES)


def test_where_nothing_is_called_that_is_said(learn: Console, dots: Path, tmp_path: Path) -> None:
    application = replace(load(dots / "dots.toml"), operating_point=1 - 1e-9)
    export(build("squeezenet1_1", 2, None, seed=0), application, tmp_path / "model.onnx", extra={})
    said = learn("evaluate", "--candidates", dots, "--model", tmp_path / "model.onnx", "--json")
    assert (said.facts["called"], said.facts["sensitivity"], said.facts["specificity"]) == (0, 0, 1)
    assert said.facts["positive_predictive_value"] is said.facts["positive_predictive_value_interval"] is None
    assert "Nothing is called positive" in said.err
    assert "No interval of sensitivity, specificity:" in said.err


def test_one_patient_with_lesions_gives_figures_without_intervals(
    evaluate: Evaluate, dots: Path, tmp_path: Path
) -> None:
    def of_one(row: Row) -> Row:
        return {**row, "split": "test", "label": str(int(row["candidate_id"] == "p03-1"))}

    said = evaluate(rewritten(dots, tmp_path / "set", of_one), "--json")
    assert said.code == 0
    assert said.facts["auc_interval"] is said.facts["cpm_interval"] is said.facts["average_precision_interval"] is None
    assert "No interval where fewer than two patients" in said.err


def test_a_model_without_an_error_has_no_interval_and_that_is_said(
    evaluate: Evaluate, dots: Path, network: Path, tmp_path: Path
) -> None:
    scores = score_test(read(dots), Scorer(network / "model.onnx"))
    said_yes = softmax(scores.logits)[:, :, 1].mean(axis=1)
    called = {row.candidate for row, yes in zip(scores.rows, said_yes, strict=True) if yes > np.median(said_yes)}

    def as_the_model_says(row: Row) -> Row:
        return {**row, "label": str(int(row["candidate_id"] in called))} if row["split"] == "test" else row

    said = evaluate(rewritten(dots, tmp_path / "set", as_the_model_says), "--json", "--page", tmp_path / "page.html")
    assert (said.facts["auc"], said.facts["average_precision"]) == pytest.approx((1, 1))  # but for rounding
    assert said.facts["se"] is said.facts["auc_interval"] is said.facts["average_precision_interval"] is None
    note = "No interval of auc, average_precision, partial_auc_at_10_percent"
    assert note in said.err
    assert "all draws of these patients say the same" in said.err
    page = (tmp_path / "page.html").read_text()
    assert note in page
    assert "1 to 1" not in page
    table = evaluate(tmp_path / "set").out
    assert "auc" in table
    assert "1 to 1" not in table


def test_the_page_draws_the_points(evaluate: Evaluate, dots: Path, tmp_path: Path) -> None:
    facts = evaluate(dots, "--page", tmp_path / "page.html", "--json").facts
    page = Page((tmp_path / "page.html").read_text())
    roc, precise, froc_line, bins = (
        [tuple(map(float, place.split(","))) for place in (one["points"] or "").split()]
        for one in page.attributes("polyline")
    )
    curves = facts["curves"]
    assert len(bins) == len(curves["reliability"])
    dots = [(float(one["cx"] or 0), float(one["cy"] or 0)) for one in page.attributes("circle")]
    assert dots[-len(bins) :] == bins, "one bin alone has no line"
    # 44 to 464 is the width, 298 to 12 the height of what is drawn.
    by_hand = [(44 + 420 * x, 298 - 286 * y) for x, y in zip(curves["roc"]["fpr"], curves["roc"]["tpr"], strict=True)]
    assert np.array(roc) == pytest.approx(np.array(by_hand), abs=0.051)
    assert precise[0] == (44, 12)
    # 1/8, 1/4, 1/2, 1, 2, 4, 8 lie equally far apart: the mean height there is the CPM.
    at = np.interp(np.linspace(44, 464, 7), *np.array(froc_line).T)
    assert np.mean((298 - at) / 286) == pytest.approx(facts["cpm"], abs=2e-3)
    assert f"{facts['auc']:.4g}" in page.texts("td")
    assert any("default-src 'none'" in (one.get("content") or "") for one in page.attributes("meta"))
    assert np.trapezoid(298 - np.array(precise)[:, 1], np.array(precise)[:, 0]) / (420 * 286) == pytest.approx(
        facts["average_precision"], abs=2e-3
    )
    said = evaluate(dots, "--page", tmp_path / "nowhere" / "page.html")
    assert said.code == 2
    assert "--page: there is no folder" in said.err
