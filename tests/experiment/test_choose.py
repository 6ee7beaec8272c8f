"""`select`, `explain` and `evaluate` on folders and pools: among whom is chosen, who chooses now, whom is judged."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from experiment.console import Console
from overread_learn.acquisition.arrow import write
from overread_learn.experiment import candidate_set

Row = dict[str, str]


def changed(dots: Path, folder: Path, change: Callable[[int, Row], Row]) -> Path:
    """The set of dots with other rows."""
    with (dots / "candidates.csv").open(newline="") as file:
        rows = [change(number, row) for number, row in enumerate(csv.DictReader(file))]
    folder.mkdir()
    (folder / "images").symlink_to(dots / "images")
    with (folder / "candidates.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def unread(folder: Path) -> set[str]:
    found = candidate_set.read(folder)
    return {row.candidate for row in found.rows if row.label is None and found.side(row.patient) == "train"}


def test_select_chooses_among_candidates_that_nobody_has_read(
    learn: Console, dots: Path, network: Path, tmp_path: Path
) -> None:
    folder = changed(dots, tmp_path / "unread", lambda _, row: {**row, "label": ""})
    words = ("select", "--pool", folder, "--model", network / "model.onnx", "--strategy", "entropy")
    picks = learn(*words, "--budget", "5", "--json").facts
    assert len(picks) == 5
    said = learn(*words, "--budget", "80", "--json")
    assert {pick["id"] for pick in said.facts} == unread(folder)
    assert len(said.facts) == 52, "the test patients' are kept apart, and those of two validation patients"
    assert "8 candidates without a label are of validation patients" in said.err


@pytest.mark.parametrize("name", ["margin", "typiclust", "coreset"])
def test_of_a_set_that_is_half_read_the_other_half_is_chosen_from(
    learn: Console, dots: Path, network: Path, tmp_path: Path, name: str
) -> None:
    folder = changed(dots, tmp_path / "half", lambda number, row: {**row, "label": row["label"] if number % 2 else ""})
    words = ("--pool", folder, "--model", network / "model.onnx", "--strategy", name, "--json")
    picks = learn("select", *words, "--budget", "80").facts
    assert {pick["id"] for pick in picks} == unread(folder)
    # The labels that stand there end the cold start, unless something else is said.
    (cold,) = learn("select", *words, "--budget", "1", "--labelled", "0,0").facts
    assert (cold["propensity"] is not None) == (name == "margin")
    (warm,) = learn("select", *words, "--budget", "1").facts
    assert warm["propensity"] is None
    said = learn("explain", picks[0]["id"], *words).facts[picks[0]["id"]]
    assert said["strategy"] == name
    if name == "coreset":
        assert "from the nearest of them" in said["sentence"], "what is labelled is kept away from"


def test_where_all_have_a_label_all_are_chosen_from_and_that_is_said(learn: Console, dots: Path, network: Path) -> None:
    words = ("--pool", dots, "--model", network / "model.onnx", "--strategy", "margin", "--budget", "80", "--json")
    said = learn("select", *words)
    assert len(said.facts) == 52
    assert {pick["propensity"] for pick in said.facts} == {1.0}, "as if no label were known: by lot, the cold start"
    assert "All 52 candidates of train patients have a label: chosen among them as if none were known" in said.err


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates of 24 patches, and fewer of 8."""
    rng = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("pool") / "pool.arrow"
    logits = [rng.normal(0, 2, (24 if number % 3 else 8, 2)).astype(np.float32) for number in range(30)]
    write(file, (f"c{number:02}" for number in range(30)), logits, list(rng.normal(size=(30, 4)).astype(np.float32)))
    return file


@pytest.mark.parametrize("more", [(), ("--patches", "8")], ids=["default", "patches"])
@pytest.mark.parametrize("name", ["sum@.25", "acft", "margin", "rarest", "random", "stratified", "coreset"])
def test_explain_says_of_a_pick_what_select_says(learn: Console, mixed: Path, name: str, more: tuple[str, ...]) -> None:
    words = ("--pool", mixed, "--strategy", name, "--budget", "6", "--labelled", "30,10", "--seed", "3", *more)
    picks = learn("select", *words, "--json").facts
    explained = learn("explain", *(pick["id"] for pick in picks), *words, "--json").facts
    for pick in picks:
        found = explained[pick["id"]]
        assert {"strategy": found["strategy"], **found["pick"]} == pick
        assert (found["entropy"], found["diversity"]) == (pick["entropy"], pick["diversity"])
        assert f"pick {pick['rank'] + 1} of 6" in found["sentence"]
        if pick["propensity"] is not None:
            assert f"with propensity {pick['propensity']:.3g}" in found["sentence"]


def test_explain_explains_who_chooses_now(learn: Console, mixed: Path) -> None:
    words = ("explain", "c00", "--pool", mixed, "--json")
    two = (*words, "--strategy", "random:entropy@.25")
    cold: Any = learn(*two).facts["c00"]
    assert cold["strategy"] == "random"
    assert "so random, the cold start of random:entropy@.25, chooses" in cold["sentence"]
    warm: Any = learn(*two, "--labelled", "9,1").facts["c00"]
    assert warm["strategy"] == "random:entropy@.25"
    assert "entropy" in warm["sentence"]
    assert "cold start" not in warm["sentence"]
    said = learn("select", *words[2:], "--strategy", "auto")
    assert {pick["strategy"] for pick in said.facts} == {"random"}
    assert "auto goes by random until each class has a label" in said.err
    said = learn("select", *words[2:], "--strategy", "auto", "--labelled", "9,1")
    assert {pick["strategy"] for pick in said.facts} == {"auto"}
    assert not said.err
    rarest = ("--strategy", "rarest", "--labelled")
    values = [learn(*words, *rarest, counts).facts["c00"]["value"] for counts in ("9,1", "1,9")]
    assert sum(values) == pytest.approx(1), "the class with the fewest labels is another one"


# What is labelled, beside a pool's file


FAR = np.array([[0, 0], [1, 0], [0, 1], [9, 9]], np.float32)
"""The middle is nearest to the second or third; from what is labelled at (9, 9) the first is farthest."""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Four candidates, a, b, c, d, of one patch each."""
    write(tmp_path / "pool.arrow", "abcd", [np.zeros((1, 2), np.float32)] * 4, list(FAR))
    return tmp_path / "pool.arrow"


def answered(folder: Path, how: str, embeddings: NDArray[Any]) -> Path:
    """Embeddings of what is labelled, as somebody would have them."""
    if how == "npy":
        np.save(folder / "labelled.npy", embeddings)
        return folder / "labelled.npy"
    names = [f"labelled {number}" for number in range(len(embeddings))]
    write(folder / "labelled.arrow", names, [np.zeros((3, 2), np.float32)] * len(names), list(embeddings))
    if how == "parquet":
        pq.write_table(pa.ipc.open_file(folder / "labelled.arrow").read_all(), folder / "labelled.parquet")
    return folder / f"labelled.{how}"


@pytest.mark.parametrize("how", ["npy", "arrow", "parquet"])
def test_coreset_keeps_away_from_what_is_labelled(learn: Console, plain: Path, tmp_path: Path, how: str) -> None:
    file = answered(tmp_path, how, np.array([[9, 9], [8, 9]], np.float32))
    words = ("--pool", plain, "--strategy", "coreset", "--budget", "4", "--json", "--labelled", "1,1")
    said = learn("select", *words, "--labelled-embeddings", file)
    assert [pick["id"] for pick in said.facts] == ["a", "b", "c", "d"]
    assert [pick["score"] for pick in said.facts] == pytest.approx([145**0.5, 1, 1, 0])
    assert not said.err
    one = learn("explain", "a", *words, "--labelled-embeddings", file).facts["a"]
    assert {"strategy": "coreset", **one["pick"]} == said.facts[0]
    assert "from the nearest of them" in one["sentence"]


def test_typiclust_goes_where_no_label_is(learn: Console, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    h = (np.eye(2) * 9)[np.repeat([0, 1], [12, 8])] + rng.normal(size=(20, 2))
    write(tmp_path / "two.arrow", map(chr, range(97, 117)), [np.zeros((1, 2))] * 20, list(h))
    words = ("select", "--pool", tmp_path / "two.arrow", "--strategy", "typiclust", "--budget", "1", "--json")
    (large,) = learn(*words).facts
    (other,) = learn(*words, "--labelled-embeddings", answered(tmp_path, "npy", np.array([[5.0, 0.0]]))).facts
    assert large["id"] < "m" <= other["id"], "the larger cluster, unless it has a label"


def test_who_chooses_as_if_nothing_were_labelled_says_so(learn: Console, plain: Path, tmp_path: Path) -> None:
    file = answered(tmp_path, "npy", FAR)
    for name, counts, more, warned in (
        ("coreset", "1,1", (), True),
        ("typiclust:margin", "2,0", (), True),
        ("typiclust:margin", "1,1", (), False),
        ("margin", "1,1", (), False),
        ("coreset", "0,0", (), False),
        ("coreset", "1,1", ("--labelled-embeddings", file), False),
    ):
        words = ("--pool", plain, "--strategy", name, "--labelled", counts, *more, "--budget", "1", "--json")
        for command in (("select",), ("explain", "a")):
            said = learn(*command, *words)
            assert said.code == 0
            assert (f"{name.partition(':')[0]} keeps away from what is labelled, and nobody" in said.err) is warned


def test_embeddings_of_what_is_labelled_that_do_not_fit_are_refused(
    learn: Console, plain: Path, dots: Path, network: Path, tmp_path: Path
) -> None:
    nan, text, cut = FAR.copy(), tmp_path / "text.npy", tmp_path / "cut.npy"
    nan[2, 1] = np.nan
    text.write_text("1,2\n3,4\n")
    np.save(cut, FAR)
    cut.write_bytes(cut.read_bytes()[:-4])
    write(tmp_path / "none.arrow", ["e"], [np.zeros((1, 2))])
    for number, (given, complaint) in enumerate(
        (
            (FAR[:, :1], "embeddings have 2 features, those of the labelled 1"),
            (nan, "that of 2 is not finite"),
            (FAR[0], "has float32, (2,); needed are floats, (candidates, features)"),
            (FAR.astype(int), "has int64, (4, 2); needed are floats"),
            (FAR[:0], "has float32, (0, 2); needed are floats"),
            (FAR.astype(object), "allow_pickle=False"),
            (cut, "cut.npy: "),
            (text, "text.npy: neither an Arrow IPC file nor a Parquet file"),
            (tmp_path / "none.arrow", "has no column embedding"),
            (plain, "4 of {plain} stand in {plain}, to be chosen from; the first is a"),
            (tmp_path / "nowhere.npy", "nowhere.npy"),
        )
    ):
        file = given
        if isinstance(given, np.ndarray):
            file = tmp_path / f"{number}.npy"
            np.save(file, given)
        for command in (("select",), ("explain", "a")):
            said = learn(*command, "--pool", plain, "--strategy", "coreset", "--labelled-embeddings", file)
            assert (said.code, complaint.format(plain=plain) in said.err) == (2, True), said.err
            assert len(said.err.splitlines()) == 1
    said = learn("select", "--pool", dots, "--model", network / "model.onnx", "--labelled-embeddings", plain)
    assert said.code == 2
    assert "--labelled-embeddings is for a --pool FILE" in said.err


# What is said of wrong words


@pytest.mark.parametrize("command", [("select",), ("explain", "c00")], ids=lambda words: words[0])
def test_what_is_wrong_with_a_pool_or_its_options(
    learn: Console, dots: Path, mixed: Path, network: Path, command: tuple[str, ...]
) -> None:
    model = network / "model.onnx"
    for words, complaint in (
        (("--pool", dots), "is a folder: give --model too"),
        (("--pool", mixed, "--model", model), "holds logits already: leave --model out"),
        (("--pool", mixed, "--labelled", "12,abc"), "--labelled: '12,abc' is no list of whole numbers"),
        (("--pool", mixed, "--labelled", "12,-1"), "--labelled: '12,-1' counts less than nothing"),
        (("--pool", mixed, "--labelled", "1,2,3"), "--labelled: '1,2,3' counts 3 classes, and there are 2"),
        (("--pool", dots, "--model", model, "--labelled", "1,2,3"), "counts 3 classes, and there are 2"),
        (("--pool", dots / "nowhere", "--strategy", "foo"), "unknown strategy 'foo'"),
    ):
        said = learn(*command, *words)
        assert said.code == 2
        assert complaint in said.err


@pytest.mark.parametrize("command", ["select", "explain"])
def test_help_speaks_of_options_that_are_there(learn: Console, command: str) -> None:
    said = learn(command, "--help").out
    assert "--candidates" not in said
    assert "--patches" in said


def test_the_table_names_picks_in_full(learn: Console, mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    words = ("select", "--pool", mixed, "--budget", "30")
    said = learn(*words).out
    assert all(f" c{number:02} " in said for number in range(30))


# evaluate


def test_a_model_is_judged_on_a_set_of_test_patients_alone(
    learn: Console, dots: Path, network: Path, tmp_path: Path
) -> None:
    folder = changed(dots, tmp_path / "elsewhere", lambda _, row: {**row, "split": "test"})
    facts = learn("evaluate", "--candidates", folder, "--model", network / "model.onnx", "--json").facts
    assert facts["candidates"] == 80
    assert facts["images"] == 20
    assert 0 <= facts["auc"] <= 1


def test_what_nobody_learns_from_does_not_change_the_verdict(
    learn: Console, dots: Path, network: Path, tmp_path: Path
) -> None:
    folder = changed(dots, tmp_path / "test", lambda _, row: {**row, "label": row["label"] * (row["split"] == "test")})
    judged = [
        learn("evaluate", "--candidates", each, "--model", network / "model.onnx", "--json").facts
        for each in (dots, folder)
    ]
    assert judged[0] == judged[1]
    assert judged[0]["candidates"] == 20


def test_test_patients_of_one_class_judge_nothing(learn: Console, dots: Path, network: Path, tmp_path: Path) -> None:
    for label, complaint in (("0", "labels are of 1 classes ([0])"), ("2", "knows 0 to 1"), ("", "of 0 classes ([])")):
        folder = changed(dots, tmp_path / f"labels{label}", lambda _, row, label=label: {**row, "label": label})  # type: ignore[misc]
        said = learn("evaluate", "--candidates", folder, "--model", network / "model.onnx")
        assert said.code == 2
        assert complaint in said.err
