"""The report stands alone, shows every strategy, escapes what comes from the set, and says what is missing."""

import base64
import copy
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from experiment.pages import BUDGETS, STRENGTHS, Page, Runs, made_run, made_summaries, odd_material
from overread_learn.acquisition.patterns import PATTERNS
from overread_learn.evaluate.curves import Summary
from overread_learn.experiment.material import Material
from overread_learn.experiment.protocol import Protocol
from overread_learn.experiment.report import report
from overread_learn.experiment.report.markup import Markup, joined, tag
from overread_learn.experiment.report.montage import album


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return odd_material(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def protocol(material: Material) -> Protocol:
    return Protocol(material.application.to_json(), "squeezenet1_1", "0" * 64, material.digest, BUDGETS)


@pytest.fixture(scope="module")
def runs(material: Material) -> Runs:
    """Runs as `run` and `Comparison` write them, of networks whose scores are noise and a known share of truth."""
    made = [made_run(material, name, seed) for name in STRENGTHS for seed in range(2)]
    return [run for run in made if (run["strategy"], run["seed"]) != ("entropy@.25", 1)]


@pytest.fixture(scope="module")
def summaries(material: Material, runs: Runs) -> dict[str, Summary]:
    return made_summaries(material, runs)


@pytest.fixture(scope="module")
def file(
    runs: Runs, summaries: dict[str, Summary], material: Material, protocol: Protocol,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    return report(runs, summaries, material, protocol, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def page(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


# The page


def test_it_asks_nothing_of_the_network(file: Path, page: Page) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)
    for name, attributes, _ in page.tags:
        for key in ("src", "href"):
            value = attributes.get(key) or ""
            assert not value or value.startswith(("#", "data:image/jpeg;base64,")), f"{name} fetches {value[:40]}"
    policy = next(one for one in page.attributes("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert str(policy["content"]).startswith("default-src 'none'")


def test_it_says_what_was_compared(page: Page, material: Material) -> None:
    assert page.texts("h1") == ["fundus-microaneurysm: 3 strategies of choosing labels"]
    positives = int(material.labels.sum())
    for said in (
        f"272 candidates of 8 patients, {positives} positive",
        "204 candidates, 20 positive (9.8 %), as it is in the set",
        "68 candidates of 2 patients",
        "squeezenet1_1 from pretrained weights 000000000000, all layers, 24 epochs",
        "5 runs, 15 min 15 s in all, 2025-03-01T10:00:00+00:00 to 2025-03-02T10:00:00+00:00",
        "0123456789ab+",
    ):
        assert said in page.text


def test_the_outcome_stands_first(page: Page, summaries: dict[str, Summary]) -> None:
    auto = summaries["auto"]
    assert auto.labels_to_reach is not None
    assert auto.ratio_to_random is not None
    assert "With 80 labels picked at random the network reached a test AUC of 0.905." in page.text
    assert f"auto reached that with {auto.labels_to_reach:.0f} labels, {100 * auto.ratio_to_random:.0f} %" in page.text


def test_every_strategy_has_its_line_its_rows_and_its_picks(page: Page) -> None:
    for name in STRENGTHS:
        assert page.texts("th").count(name) == 3
        assert page.texts("h3").count(name) == 1
        assert page.texts("label").count(name) == 1
        assert page.texts("title").count(name) == 2  # one line on either axis
    assert len([one for one in page.attributes("g") if "data-curve" in one]) == 6


def test_the_first_strategy_is_that_of_the_largest_area_and_unfolded(page: Page) -> None:
    assert page.texts("h3") == ["auto", "random", "entropy@.25"]
    assert ["open" in one for one in page.attributes("details")] == [True, False, False]


def test_every_drawing_has_a_title_and_every_figure_a_description(page: Page) -> None:
    drawings = [one for one in page.attributes("svg") if "aria-hidden" not in one]
    titles = [parents for name, _, parents in page.tags if name == "title" and parents[-1] == "svg"]
    assert len(titles) == len(drawings)
    assert len(page.texts("desc")) == 2 + 9  # two figures of curves, three rounds of three strategies


def test_tables_hold_the_numbers(page: Page, summaries: dict[str, Summary]) -> None:
    cells = page.texts("td")
    assert "0.705 (0.700 to 0.710)" in cells  # random, first step: the mean and the range of two seeds
    assert "0.625" in cells  # entropy@.25 has one
    assert "never" in cells
    assert any(cell.startswith("above 1 (") for cell in cells)
    assert f"{summaries['auto'].alc_minus_random:+.3f}" in " ".join(cells)
    assert {"ALC, log2", "ALC, log2 - random's"} <= set(page.texts("th"))
    for key, sign in (("alc_log2", ""), ("alc_log2_minus_random", "+")):
        value, ends = (summaries["auto"]._asdict()[name] for name in (key, f"{key}_interval"))
        assert f"{value:{sign}.3f} ({ends[0]:{sign}.3f} to {ends[1]:{sign}.3f})" in cells
    assert set(PATTERNS) <= set(page.texts("th"))
    assert [*page.texts("desc")][-1].endswith("bins from 0 to 1: 40, 0, 0, 0, 0, 0, 0, 0, 0, 200")


def test_the_reference_at_its_full_budget_is_a_line(page: Page) -> None:
    levels = [one for one in page.attributes("line") if one.get("class") == "level"]
    assert len(levels) == 2
    assert page.texts("text").count("random, all labels: 0.905") == 2


def test_curves_lie_where_their_aucs_are(page: Page) -> None:
    lines = [one["points"] or "" for one in page.attributes("polyline")]
    ends = [[tuple(map(float, point.split(","))) for point in line.split()] for line in lines]
    linear, log2 = ends[:3], ends[3:]
    assert all(x[0] < y[0] and x[1] > y[1] for line in ends for x, y in pairwise(line))
    # From the best to the worst, and up is less.
    assert linear[0][-1][1] < linear[1][-1][1] < linear[2][-1][1]
    (first, second, last) = (x for x, _ in linear[0])
    assert (second - first) / (last - first) == pytest.approx(20 / 60, abs=0.01)
    (first, second, last) = (x for x, _ in log2[0])
    assert (second - first) / (last - first) == pytest.approx(0.5, abs=0.01)


# What was picked


def test_pictures_decode_and_none_stands_twice(page: Page, runs: Runs) -> None:
    images = page.attributes("image")
    names = {one["id"] for one in images}
    assert len(names) == len(images)
    assert {f"#{name}" for name in names} == {one["href"] for one in page.attributes("use")}
    for one in images:
        content = base64.b64decode(str(one["href"]).partition(",")[2], validate=True)
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert picture.format == "JPEG"
            assert picture.size == (64, 64)
            assert np.asarray(picture).std() > 2
    shown = sum(min(24, len(step["picks"])) for run in runs for step in run["steps"] if run["seed"] == 0)
    assert len(page.attributes("use")) == shown


def test_each_round_says_how_many_of_its_picks_are_positive(page: Page, runs: Runs, material: Material) -> None:
    truth = dict(zip(material.ids, material.labels.tolist(), strict=True))
    auto = next(run for run in runs if (run["strategy"], run["seed"]) == ("auto", 0))
    said = [text for text in page.texts("p") if " picks, " in text]
    for text, step in zip(said, auto["steps"], strict=False):
        positives = sum(truth[candidate] for candidate in step["picks"])
        assert text == f"{len(step['picks'])} picks, {positives} positive; AUC after it {step['auc']:.3f}"
    assert f"{auto['steps'][-1]['positives']} positives in 80 labels" in page.texts("span")


def test_frames_tell_positives_from_negatives_without_colour(page: Page) -> None:
    frames = [one["class"] for name, one, parents in page.tags if name == "li" and "section" in parents and one]
    picked = [title for title in page.texts("title") if re.match(r"\d+\. ", title)]
    assert [name == "positive" for name in frames] == ["<marquee>" in title for title in picked]
    assert 0 < frames.count("positive") < len(frames)
    style = page.texts("style")[0]
    assert "3px dashed" in style
    assert 'content: "+"' in style


def test_names_from_the_set_are_escaped(file: Path, page: Page) -> None:
    tags = {name for name, _, _ in page.tags}
    assert not tags & {"blink", "marquee"}
    assert any("<blink>" in title for title in page.texts("title"))
    assert "<blink" not in file.read_text(encoding="utf-8")


def test_pictures_that_would_take_too_much_are_made_smaller(material: Material) -> None:
    wanted = range(20)
    large, small = album(material, wanted), album(material, wanted, limit=10)
    assert (large.side, small.side) == (64, 32)
    assert sum(map(len, small.pictures.values())) < sum(map(len, large.pictures.values()))


# What is missing


def test_what_cannot_be_known_is_said(page: Page) -> None:
    limits = [text for where, text in page.words if where == "li"]
    assert "Missing: of entropy@.25, seed 1 is not there, so its mean is over fewer runs than others'." in limits
    for said in ("one set", "never errs", "taken for the truth"):
        assert any(said in limit for limit in limits), said
    assert not any("Missing: of random" in limit for limit in limits)


def test_noise_and_resampling_are_said(
    runs: Runs, summaries: dict[str, Summary], material: Material, protocol: Protocol, tmp_path: Path
) -> None:
    noisy = [{**run, "flipped": 10 + run["seed"]} for run in runs]
    other = replace(protocol, label_noise=0.05, prevalence=0.01, weights="none", depth=1)
    text = Page(report(noisy, summaries, material, other, tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert "erred in 5.0 % of its answers, by chance (10 to 11 of a run's)" in text
    assert "resampled to 1.0 %" in text
    assert "from random weights, the last layer alone" in text
    assert "never errs" not in text


def test_without_the_reference_nothing_is_said_of_labels_saved(
    runs: Runs, material: Material, protocol: Protocol, tmp_path: Path
) -> None:
    some = [run for run in runs if run["strategy"] != "random"]
    text = Page(report(some, {}, material, protocol, tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert "random was not run, so nothing can be said of labels saved" in text
    assert "auto came out first: a test AUC of 0.980 with 80 labels." in text


def test_one_run_of_one_step_is_enough(runs: Runs, material: Material, protocol: Protocol, tmp_path: Path) -> None:
    run = copy.deepcopy(runs[0])
    run["steps"] = run["steps"][:1]
    page = Page(report([run], {}, material, protocol, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.texts("h3") == ["random"]
    with pytest.raises(ValueError, match="at least one run"):
        report([], {}, material, protocol, tmp_path / "r.html")


def test_a_seed_whose_pool_ended_sooner_shortens_the_curve(
    runs: Runs, material: Material, protocol: Protocol, tmp_path: Path
) -> None:
    pair = [copy.deepcopy(run) for run in runs if run["strategy"] == "random"]
    pair[1]["steps"].pop()
    page = Page(report(pair, {}, material, protocol, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert [len((one["points"] or "").split()) for one in page.attributes("polyline")] == [2, 2]


# Markup


def test_markup_escapes_data_and_leaves_markup() -> None:
    assert tag("p", "a < b", tag("br"), 3) == "<p>a &lt; b<br>3</p>"
    assert tag("a", "x", href='"><script>', class_="k") == '<a href="&quot;&gt;&lt;script&gt;" class="k">x</a>'
    assert tag("input", checked=True, hidden=False, value=None, data_n=0) == '<input checked data-n="0">'
    assert joined("<", Markup("<hr>")) == "&lt;<hr>"


# In a browser


@pytest.fixture
def shown(file: Path) -> Iterator[Any]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = chromium.new_page(viewport={"width": 380, "height": 800})
        errors: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("console", lambda said: errors.append(said.text))
        opened.goto(file.as_uri())
        yield opened
        assert errors == []
        chromium.close()


@pytest.mark.network
@pytest.mark.part("chromium")
def test_on_a_phone_it_fits_switches_lines_and_sorts(shown: Any) -> None:
    assert shown.evaluate("document.documentElement.scrollWidth") <= 380
    lines = shown.locator("[data-curve='0']")
    assert lines.count() == 2
    shown.locator("[data-switch='0']").uncheck()
    assert [lines.nth(index).is_visible() for index in range(2)] == [False, False]
    shown.locator("[data-all]").click()
    assert [lines.nth(index).is_visible() for index in range(2)] == [True, True]
    table = shown.locator("table.sortable", has_text="labels to reach")
    table.get_by_role("button", name="labels to reach").click()
    assert table.locator("tbody th").all_text_contents() == ["auto", "random", "entropy@.25"]
    table.get_by_role("button", name="labels to reach").click()
    assert table.locator("tbody th").all_text_contents() == ["entropy@.25", "random", "auto"]
    assert shown.evaluate("document.querySelector('use').getBoundingClientRect().width") > 40
