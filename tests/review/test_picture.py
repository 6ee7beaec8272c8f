"""The documentation's picture of the page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from overread.core.events import Purpose
from overread.review.server import ReviewServer
from review.thorax import thorax

pytestmark = [pytest.mark.network, pytest.mark.part("chromium")]


def test_a_picture_for_the_documentation(browser: Browser, room: Any, tmp_path: Path) -> None:
    """`OVERREAD_SCREENSHOT=docs/images/page.png` keeps it."""
    series = room.slices.make("chest", rows=512, columns=512, slices=24)
    for number in range(24):
        room.slices.arrays[f"chest-{number}"] = thorax(number)
    spots = [(131.0, 216.0, 8.5, 12), (396.0, 300.0, 5.5, 12), (330.0, 190.0, 5.0, 11), (180.0, 300.0, 4.5, 13)]
    names = ["c-4be1d07a52c9", "c-91f3a6c2de04", "c-0d57be9a31f8", "c-e2a84c6f7b13"]
    for name, (x, y, radius, number) in zip(names, spots, strict=True):
        place = {"series": series, "slice": number, "x": x, "y": y}
        room.receive(name, place=place, radius_px=radius)
    purposes = list(Purpose)
    for rank in range(14):
        name = names[rank] if rank < 4 else f"c-{rank * 7919:06x}{rank * 104729:06x}"
        if rank >= 4:
            room.receive(name, study="s-2", place={"series": series, "slice": rank, "x": 9.0, "y": 9.0})
        room.ask(name, rank // 3, purposes[rank % 3] if rank else Purpose.ACQUISITION, round=3)
        room.score(name, (0.93, 0.71, 0.34, 0.12)[rank] if rank < 4 else 0.9 - rank / 20, version=4)
    room.post(names[2], "rejected", reader="second reader", reason="Vessel")
    room.post(names[0], "confirmed", reader="second reader")
    room.post(names[0], "withdrawn", 1, reader="second reader")
    server = ReviewServer(room.app, "127.0.0.1", 0)
    server.start()
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", timezone_id="UTC")
    shown = context.new_page()
    shown.add_init_script("localStorage.setItem('overread.reader', 'first reader')")
    shown.goto(f"http://127.0.0.1:{server.port}/")
    expect(shown.locator("[data-act=Confirm]")).to_be_enabled()
    shown.mouse.move(640, 560)
    file = Path(os.environ.get("OVERREAD_SCREENSHOT") or tmp_path / "page.png")
    shown.screenshot(path=file)
    context.close()
    server.close()
    assert file.stat().st_size > 50_000
