"""Everything that `overread status` says, gathered from the rooms' own words and their /metrics."""

from __future__ import annotations

import json
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from overread import topology
from overread.bus import relay
from overread.bus.port import Partition
from overread.candidates import studies
from overread.core.errors import OverreadError
from overread.gateway import standing as gateway
from overread.house import House, operator, room_file
from overread.inference import standing as inference
from overread.review import standing as review
from overread.rollout import standing as rollout
from overread.store import deliveries
from overread.trainer import standing as trainer


def collect(house: House) -> dict[str, Any]:
    """Return the state of rooms and tables. What identifies a patient is not in it."""
    rooms = [_room(house, name) for name in topology.rooms(house.settings.bus_url)]
    with house.store.reading() as tx:
        facts = {
            "gateway": gateway.standing(tx),
            "inference": inference.standing(tx),
            "trainer": trainer.standing(tx),
            "review": review.standing(tx),
            "rollout": rollout.standing(tx),
        }
        if house.settings.bus_url:
            facts["relay"] = relay.standing(tx)._asdict()
    problems = [problem._asdict() for problem in studies.problems(house.store)]
    problems += [
        {"where": "inference", "reason": reason, "count": number}
        for reason, number in facts["inference"]["problems"].items()
    ]
    if "relay" in facts and facts["relay"]["refused"]:
        problems.append({"where": "relay", "reason": facts["relay"]["reasons"][0], "count": facts["relay"]["refused"]})
    return {"rooms": rooms, "serving": _serving(house, rooms), **facts, "problems": problems}


def behind(house: House, facts: dict[str, Any]) -> None:
    """Add to each room how many events on the cluster it has not handled yet, or to the problems why nobody knows."""
    try:
        extents = _extents(house)
    except OverreadError as error:
        facts["problems"].append({"where": "bus", "reason": str(error), "count": 1})
        return
    with house.store.reading() as tx:
        for room in facts["rooms"]:
            name = room["room"]
            room["behind"] = sum(
                max(0, end - max(first, deliveries.next_offset(tx, name, *place)))
                for place, (first, end) in extents.items()
                if place.topic in topology.hears(name)
            )


def _extents(house: House) -> dict[Partition, tuple[int, int]]:
    shapes = topology.TOPICS.items()
    places = [Partition(topic, number) for topic, shape in shapes for number in range(shape.partitions)]
    with operator(house.settings) as asked:
        return asked.extents(places)


def _room(house: House, name: str) -> dict[str, Any]:
    file = room_file(house.settings.data, name)
    room: dict[str, Any] = {"room": name, "state": "stopped", "pid": None, "port": None, "health": None}
    if not file.exists():
        return room
    room.update(json.loads(file.read_text()))
    try:
        answer = httpx.get(f"http://{house.settings.health_host}:{room['health']}/readyz", timeout=2)
        room["state"] = "ready" if answer.status_code == httpx.codes.OK else answer.json()["status"]
    except httpx.HTTPError:
        room["state"] = "does not answer"
    return room


def _serving(house: House, rooms: list[dict[str, Any]]) -> dict[str, str] | None:
    """Scrape which model serves: not what should, what does."""
    port = next(room["health"] for room in rooms if room["room"] == "inference")
    if port is None:
        return None
    try:
        text = httpx.get(f"http://{house.settings.health_host}:{port}/metrics", timeout=2).text
    except httpx.HTTPError:
        return None
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "overread_serving_model" and sample.value == 1:
                return dict(sample.labels)
    return None
