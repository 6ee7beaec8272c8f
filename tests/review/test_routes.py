"""What the room shows, and to whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from overread.core.events import StudyPurged
from overread.review.octets import encode


@pytest.fixture(autouse=True)
def _candidate(room: Any) -> None:
    room.receive("c-1")


def test_candidate_and_its_etag(room: Any) -> None:
    room.post("c-1", "confirmed", reader="a", reason="round")
    answer = room.client.get("/api/v1/candidates/c-1")
    assert answer.headers["etag"] == '"1"'
    body = answer.json()
    (said,) = body.pop("verdicts")
    assert body == {
        "candidate": "c-1",
        "study": "s-1",
        "version": 1,
        "source": "generator",
        "producer": "log 1",
        "place": {"series": room.series, "slice": 2, "x": 30.0, "y": 20.0},
        "radius_px": 6.0,
        "score": None,
        "model_cleared": False,
        "label": 1,
        "agreement": 1.0,
        "readers": 1,
    }
    assert (said["verdict"], said["reader"], said["reason"]) == ("confirmed", "a", "round")
    assert said["time"].endswith("Z")


def test_study_series_status(room: Any) -> None:
    study = room.get("studies/s-1")
    assert study["series"] == [room.series]
    assert [candidate["candidate"] for candidate in study["candidates"]] == ["c-1"]
    series = room.get(f"series/{room.series}")
    assert series.pop("instances") == [{"instance": f"i-one-{number}", "frame": 0} for number in range(5)]
    assert series == {
        "modality": "CT",
        "rows": 60,
        "columns": 80,
        "slices": 5,
        "samples": 1,
        "spacing_mm": 0.7,
        "stack": True,
    }
    room.post("c-1", "rejected")
    status = room.get("status")
    assert status["model"] is None
    assert status["corrections"]["rejected"] == 1
    assert status["corrections"]["confirmed"] == 0


def test_pixels(room: Any) -> None:
    answer = room.client.get(f"/api/v1/series/{room.series}/slices/1")
    assert answer.status_code == 200
    pixels = np.frombuffer(answer.content, "<i2").reshape(60, 80)
    assert np.array_equal(pixels, room.slices.arrays["one-1"])
    assert "immutable" in answer.headers["cache-control"]
    shown = {name: answer.headers[f"x-{name}"] for name in ("rows", "columns", "samples", "window-center")}
    assert shown == {"rows": "60", "columns": "80", "samples": "1", "window-center": "-600"}


def test_rgb(room: Any) -> None:
    room.slices.arrays["one-0"] = np.full((60, 80, 3), 7, np.uint8)
    answer = room.client.get(f"/api/v1/series/{room.series}/slices/0")
    assert (answer.headers["x-samples"], len(answer.content)) == ("3", 60 * 80 * 3)
    assert room.get(f"series/{room.series}")["samples"] == 3


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[0.0, 0.25], [12.5, 3.1]], np.float32),
        np.array([[0, 65535], [40000, 1]], np.float32),
        np.full((2, 2), 0.5, np.float32),
    ],
)
def test_values_that_int16_can_t_hold_are_scaled(pixels: Any) -> None:
    octets, headers = encode(pixels, (1.0, 2.0))
    stored = np.frombuffer(octets, "<i2").reshape(2, 2)
    slope, intercept = float(headers["X-Slope"]), float(headers["X-Intercept"])
    assert np.allclose(stored * slope + intercept, pixels, atol=np.ptp(pixels) / 60000 + 1e-6)


def test_whole_numbers_stay_as_they_are() -> None:
    octets, headers = encode(np.array([[-1024, 3071]], np.float32), (40, 400))
    assert list(np.frombuffer(octets, "<i2")) == [-1024, 3071]
    assert (headers["X-Slope"], headers["X-Intercept"]) == ("1.0", "0.0")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("candidates/c-9", 404),
        ("studies/s-9", 404),
        ("series/" + "f" * 64, 404),
        ("series/..%2f..%2fetc%2fpasswd", 404),
        ("series/{series}/slices/5", 404),
        ("series/{series}/slices/-1", 404),
        ("series/{series}/slices/x", 422),
        ("instances/i-9/place", 404),
        ("instances/i-one-3/place?frame=1", 404),
        ("worklist?limit=0", 422),
        ("worklist?limit=501", 422),
        ("worklist?purpose=fun", 422),
        ("nothing", 404),
    ],
)
def test_what_is_not_there_is_a_problem(room: Any, path: str, status: int) -> None:
    answer = room.client.get(f"/api/v1/{path.format(series=room.series)}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_blob_that_no_candidate_names_is_not_served(room: Any) -> None:
    key = room.slices.make("other")
    assert room.client.get(f"/api/v1/series/{key}").status_code == 404


def test_purged_pixels_are_gone_and_a_purged_study_is_unknown(room: Any) -> None:
    del room.slices.arrays["one-1"]
    assert room.client.get(f"/api/v1/series/{room.series}/slices/1").status_code == 410
    room.slices.blobs.delete(room.series)
    assert room.client.get(f"/api/v1/series/{room.series}").status_code == 410
    assert room.client.get(f"/api/v1/series/{room.series}/slices/2").status_code == 410
    room.hear(StudyPurged(study="s-1"))
    assert room.client.get(f"/api/v1/series/{room.series}").status_code == 404


def test_pixels_that_can_t_be_read_are_said_to_be(room: Any) -> None:
    room.slices.arrays["one-1"] = np.zeros((0, 0), np.int16)
    answer = room.client.get(f"/api/v1/series/{room.series}/slices/1")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:overread:problem:undecodable")


def test_where_an_instance_stands(room: Any) -> None:
    place = room.get("instances/i-one-3/place")
    assert place == {"series": room.series, "slice": 3, "study": "s-1"}
    late = room.slices.make("two")
    room.receive("c-2", study="s-2", place={"series": late})
    assert room.get("instances/i-two-0/place") == {"series": late, "slice": 0, "study": "s-2"}
    room.hear(StudyPurged(study="s-1"))
    assert room.client.get("/api/v1/instances/i-one-3/place").status_code == 404


def test_the_page_may_load_nothing_from_elsewhere(room: Any) -> None:
    answer = room.client.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in answer.text
    assert "https:" not in answer.text
    for asset in ("page.js", "page.css", "panels.css", "icon.svg"):
        assert room.client.get(f"/page/{asset}").status_code == 200
    assert room.client.get("/page/..%2froutes.py").status_code == 404
    assert room.client.get("/docs").status_code == 404
    assert "/api/v1/corrections" in room.client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8042", "", "[::2]"])
def test_a_rebound_name_is_refused(room: Any, host: str) -> None:
    answer = room.client.get("/api/v1/status", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost:8042", "127.0.0.1:1", "[::1]:8042", "[::1]", "LOCALHOST"])
def test_this_machine_s_names_are_served(room: Any, host: str) -> None:
    assert room.client.get("/api/v1/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://testserver", "http://testserver:81"])
def test_another_site_s_page_can_t_write(room: Any, origin: str) -> None:
    headers = {"Origin": origin, "Idempotency-Key": "k" * 20, "If-Match": '"0"'}
    body = {"candidate": "c-1", "study": "s-1", "verdict": "confirmed"}
    assert room.client.post("/api/v1/corrections", json=body, headers=headers).status_code == 403
    headers["Origin"] = "http://testserver"
    assert room.client.post("/api/v1/corrections", json=body, headers=headers).status_code == 201
