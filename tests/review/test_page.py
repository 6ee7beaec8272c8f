"""The reader's page in a real Chromium, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from scipy import ndimage

from overread.review import tables
from overread.review.server import ReviewServer

pytestmark = [pytest.mark.network, pytest.mark.part("chromium")]

CANDIDATES = ("c-1", "c-2", "c-3", "c-4")
SPOTS = {"c-1": (30, 20, 2), "c-2": (60, 40, 3), "c-3": (12, 45, 2), "c-4": (50, 12, 1)}


@pytest.fixture
def url(room: Any) -> Iterator[str]:
    for candidate, (x, y, number) in SPOTS.items():
        room.receive(candidate, place={"x": float(x), "y": float(y), "slice": number}, radius_px=3.0)
        blob = room.slices.arrays[f"one-{number}"]
        blob[y - 1 : y + 2, x - 1 : x + 2] = 100
        room.ask(candidate, int(candidate[-1]))
        room.score(candidate, 0.5 + int(candidate[-1]) / 10)
    server = ReviewServer(room.app, "127.0.0.1", 0)
    server.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
    opened.goto(url)
    reads(opened, "c-1")
    yield opened
    assert errors == []
    context.close()


def reads(page: Page, candidate: str) -> None:
    """Wait until this candidate is in view and can be judged."""
    expect(page.locator(f"#worklist [data-act='{candidate}'][aria-current=true]")).to_be_visible()
    expect(page.locator(f"circle.mark.current[data-mark='{candidate}']")).to_be_visible()
    expect(page.locator("[data-act=Confirm]")).to_be_enabled()


def mark(page: Page, candidate: str) -> tuple[float, float]:
    """The mark's centre in the window."""
    # In one look: the page may draw the marks anew between two.
    look = """selector => {
        const box = document.querySelector(selector)?.getBoundingClientRect();
        return box?.width ? [box.x + box.width / 2, box.y + box.height / 2] : null;
    }"""
    x, y = page.wait_for_function(look, arg=f"circle.mark[data-mark='{candidate}']").json_value()
    return x, y


def per_pixel(page: Page) -> float:
    """Screen pixels an image pixel, while the image fits the stage."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    return float(min(box["width"] / 80, box["height"] / 60))


def grey(page: Page) -> Any:
    """The canvas's red channel."""
    code = """() => { const c = document.getElementById('canvas');
        return [c.height, c.width, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)
            .filter((_, at) => at % 4 === 0)]; }"""
    height, width, values = page.evaluate(code)
    return np.array(values, np.uint8).reshape(height, width)


def said(room: Any) -> list[tuple[str, str, int]]:
    rows = sorted(room.rows(tables.verdicts), key=lambda row: row["time"])
    return [(row["candidate"], row["verdict"], row["version"]) for row in rows]


def test_the_image_is_there_and_the_mark_stands_where_the_spot_is(page: Page) -> None:
    pixels = grey(page)
    assert pixels.std() > 10
    rows, columns = np.nonzero(pixels > 235)
    box = page.locator("#stage").bounding_box()
    assert box is not None
    spots, _ = ndimage.label(pixels > 235)
    at = [ndimage.center_of_mass(spots == number) for number in range(1, spots.max() + 1)]
    x, y = mark(page, "c-1")
    nearest = min(np.hypot(box["x"] + column + 0.5 - x, box["y"] + row + 0.5 - y) for row, column in at)
    assert nearest < 1.0
    assert len(rows) == len(columns) > 50


def test_keys_judge_and_the_next_read_opens(page: Page, room: Any) -> None:
    page.keyboard.press("c")
    reads(page, "c-2")
    expect(page.locator("#about-slice")).to_contain_text("4 / 5")
    page.keyboard.press("r")
    reads(page, "c-3")
    page.keyboard.press("u")
    reads(page, "c-4")
    expect(page.locator("#progress-text")).to_have_text("3 read, 1 left")
    page.keyboard.press("z")
    reads(page, "c-3")
    assert said(room) == [
        ("c-1", "confirmed", 1),
        ("c-2", "rejected", 1),
        ("c-3", "unsure", 1),
        ("c-3", "withdrawn", 2),
    ]
    page.locator("[data-act=Reject]").click()
    reads(page, "c-4")
    page.keyboard.press("c")
    expect(page.locator("#nothing")).to_be_visible()
    assert said(room)[-2:] == [("c-3", "rejected", 3), ("c-4", "confirmed", 1)]


def test_the_reader_s_name_and_reason_go_with_the_verdict(page: Page, room: Any) -> None:
    page.keyboard.press("l")
    page.keyboard.type("first reader")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+2")
    expect(page.locator("#reasons [aria-checked=true]")).to_have_text("Vessel")
    page.keyboard.press("r")
    reads(page, "c-2")
    (row,) = room.rows(tables.verdicts)
    assert (row["reader"], row["reason"]) == ("first reader", "Vessel")
    page.reload()
    expect(page.locator("#reader")).to_have_value("first reader")


def test_dragging_the_mark_amends(page: Page, room: Any) -> None:
    x, y = mark(page, "c-1")
    scale = per_pixel(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3 * scale, y + 2 * scale, steps=5)
    page.mouse.move(x + 7 * scale, y - 4 * scale, steps=5)
    page.mouse.up()
    reads(page, "c-2")
    (row,) = room.rows(tables.verdicts)
    assert (row["verdict"], row["slice"]) == ("amended", 2)
    assert (row["x"], row["y"]) == pytest.approx((37, 16), abs=0.11)


def test_the_keyboard_moves_the_mark_and_adds_a_lesion(page: Page, room: Any) -> None:
    page.keyboard.press("a")
    expect(page.locator("[data-aim]")).to_be_visible()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#toasts")).to_contain_text("Lesion added")
    reads(page, "c-1")
    page.keyboard.press("m")
    for key in ("ArrowLeft", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    reads(page, "c-2")
    added, amended = sorted(room.rows(tables.verdicts), key=lambda row: row["time"])
    assert (added["verdict"], added["x"], added["y"]) == ("added", 32, 21)
    assert (amended["verdict"], amended["x"], amended["y"]) == ("amended", 29, 19)


@pytest.mark.parametrize("way", ["mode", "double"])
def test_a_click_adds_a_missed_lesion_and_undo_takes_it_back(page: Page, room: Any, way: str) -> None:
    x, y = mark(page, "c-1")
    scale = per_pixel(page)
    target = (x + 20 * scale, y + 15 * scale)
    if way == "mode":
        page.keyboard.press("a")
        page.mouse.dblclick(*target)  # a nervous finger adds one lesion, not two
    else:
        page.mouse.dblclick(*target)
    expect(page.locator("#toasts")).to_contain_text("Lesion added")
    reads(page, "c-1")
    (row,) = room.rows(tables.verdicts)
    assert row["verdict"] == "added"
    assert (row["x"], row["y"], row["slice"]) == (pytest.approx(50, abs=0.11), pytest.approx(35, abs=0.11), 2)
    added = page.locator(f"circle.mark.yes[data-mark='{row['candidate']}']")
    expect(added).to_be_visible()
    page.keyboard.press("Control+z")
    expect(added).to_have_count(0)
    assert [entry[1] for entry in said(room)] == ["added", "withdrawn"]
    reads(page, "c-1")


def test_scrolling_windowing_zooming(page: Page) -> None:
    first = grey(page)
    number = page.locator("#about-slice")
    page.locator("#stage").hover()
    page.mouse.wheel(0, 120)
    expect(number).to_contain_text("4 / 5")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(number).to_contain_text("2 / 5")
    page.keyboard.press("Home")
    expect(number).to_contain_text("3 / 5")
    assert np.array_equal(grey(page), first)
    page.keyboard.press("2")
    expect(page.locator("#about-window")).to_contain_text("W 400")
    assert not np.array_equal(grey(page), first)
    page.keyboard.press("0")
    expect(page.locator("#about-window")).to_contain_text("W 1500")
    assert np.array_equal(grey(page), first)
    x, y = mark(page, "c-1")
    page.mouse.move(x + 100, y + 100)
    page.mouse.down(button="right")
    page.mouse.move(x + 150, y + 140, steps=4)
    page.mouse.up(button="right")
    assert not np.array_equal(grey(page), first)
    page.keyboard.press("0")
    page.keyboard.press("+")
    expect(page.locator("#about-zoom")).not_to_have_text("1000%")
    page.mouse.down()
    page.mouse.move(x + 120, y + 130, steps=4)
    page.mouse.up()
    page.keyboard.press("f")
    assert np.array_equal(grey(page), first)
    page.keyboard.press("v")
    expect(page.locator("circle.mark")).to_have_count(0)


def test_somebody_faster_is_told_and_the_candidate_reloaded(page: Page, room: Any) -> None:
    room.post("c-1", "rejected", reader="other")
    page.keyboard.press("c")
    expect(page.locator("#toasts")).to_contain_text("Changed meanwhile")
    expect(page.locator("#said")).to_contain_text("other")
    assert [entry[1] for entry in said(room)] == ["rejected"]
    page.keyboard.press("c")
    reads(page, "c-2")
    assert said(room)[-1] == ("c-1", "confirmed", 2)


def test_a_lost_answer_is_asked_for_again_under_the_same_key(page: Page, room: Any) -> None:
    keys: list[str | None] = []

    def lose(route: Any) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()  # the server has it, the page never hears of it
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/corrections", lose)
    page.reload()  # once, in CI, a page that was open already posted past the new route
    reads(page, "c-1")
    with page.expect_response("**/api/v1/corrections"):  # of the second try; the first has none
        page.keyboard.press("c")
    reads(page, "c-2")
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert said(room) == [("c-1", "confirmed", 1)]


def test_a_model_that_is_not_cleared_shows_no_score(page: Page, room: Any) -> None:
    expect(page.locator("#score b")).to_have_text("0.60")
    for candidate in CANDIDATES:
        room.score(candidate, 0.9, version=2, cleared=False)
    page.reload()
    reads(page, "c-1")
    expect(page.locator("#model")).to_have_text("Model untrained")
    expect(page.locator("#score")).to_have_text("Untrained: scores are hidden")
    expect(page.locator(".score-value").first).to_have_text("")


def test_every_key_stands_in_the_help(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    for word in ("Confirm", "Reject", "Unsure", "missed lesion", "Undo", "Zoom", "Width and level"):
        expect(page.locator("#help")).to_contain_text(word)
    page.keyboard.press("c")  # no verdict behind an open help
    page.keyboard.press("Escape")
    expect(page.locator("#help")).not_to_be_visible()
    reads(page, "c-1")
