"""The page for integrators says what is true: its examples run against a real broker, and review answers them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from brokers import MARKS, admin, make_topics, without_topics
from inference.words import received
from overread.bootstrap import build
from overread.bus.dead_letters import topic_of
from overread.config import load
from overread.core.codec import Envelope
from overread.core.corrections import Verdict
from overread.core.events import CANDIDATES, COMMANDS, FACTS, READS, REFUSALS, SCORES, Refusal
from overread.house import House
from overread.review.tables import candidates, verdicts
from overread.simulation.broker import Cluster

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
HEARD = (CANDIDATES, SCORES, READS, COMMANDS)
TOPICS = {**dict.fromkeys((*HEARD, REFUSALS, FACTS), 4), **{topic_of(topic, "review"): 1 for topic in HEARD}}


def block(language: str) -> str:
    """The page's one example in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


@contextmanager
def working(house: House, room: str) -> Iterator[None]:
    """Run a room's worker as its process does, without what listens."""
    stop = threading.Event()
    built = build(house, room)
    thread = threading.Thread(target=house.worker(built).run, args=(stop,), name=room)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


class Example:
    """A house of two rooms, review and the relay, and what an integrator runs beside it."""

    def __init__(self, cluster: Cluster, house: House, folder: Path) -> None:
        self.house, self.folder = house, folder
        self._environment = {**os.environ, "KAFKA": ",".join(cluster.servers)}

    def python(self, *arguments: str) -> tuple[dict[str, Any], list[str]]:
        """Run submit.py; return its answer, and the id and time that it minted."""
        script = self.folder / "submit.py"
        script.write_text(block("python"))
        done = subprocess.run(
            [sys.executable, script, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        minted = re.search(r"^ce_id (\S+) ce_time (\S+)$", done.stderr, re.MULTILINE)
        assert minted
        return json.loads(done.stdout), list(minted.groups())

    def shell(self, tools: Path, study: str, candidate: str) -> tuple[str, dict[str, Any]]:
        """Run the console tools; return the answer's type and value."""
        done = subprocess.run(
            ["bash", "-c", block("sh")],
            env={
                **self._environment,
                "PATH": f"{tools}:{os.environ['PATH']}",
                "STUDY": study,
                "CANDIDATE": candidate,
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 1, done.stdout
        line = done.stdout
        headers, value = line.split("\t")
        kind = re.search(r"ce_type:([\w.]+)", headers)
        assert kind
        return kind[1], json.loads(value)

    def ledger(self, candidate: str) -> list[tuple[str, int]]:
        of_it = select(verdicts).where(verdicts.c.candidate == candidate).order_by(verdicts.c.version)
        with self.house.store.reading() as tx:
            return [(row.verdict, row.version) for row in tx.execute(of_it)]


@pytest.fixture(scope="module")
def example(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    folder = tmp_path_factory.mktemp("events-page")
    make_topics(without_topics(cluster), TOPICS)
    with ExitStack() as stack:
        house = House(load(None, data=folder / "house", bus_url=cluster.url))
        stack.callback(house.close)
        house.bus.publish([Envelope(received(number), "candidates").record() for number in range(4)])
        stack.enter_context(working(house, "relay"))
        stack.enter_context(working(house, "review"))
        wait = threading.Event()
        while not arrived(house):
            wait.wait(0.1)
        yield Example(cluster, house, folder)
    with admin(cluster) as operator:
        operator.delete_topics(list(TOPICS))


def arrived(house: House) -> bool:
    with house.store.reading() as tx:
        return len(tx.execute(select(candidates)).all()) == 4


pytestmark = MARKS


def test_the_python_example_submits_and_hears_acceptance_and_refusal(example: Example) -> None:
    answer, minted = example.python("s-0", "c-000", "confirmed", "r-17", "0")
    assert (answer["accepted"], answer["version"], answer["label"]) == (True, 1, 1)
    assert answer["correction"] == minted[0]

    again, same = example.python("s-0", "c-000", "confirmed", "r-17", "0", *minted)
    assert (again, same) == (answer, minted), "the same id again: the same answer, and no second effect"

    stale, _ = example.python("s-0", "c-000", "rejected", "r-18", "0")
    assert (stale["accepted"], stale["reason"], stale["current_version"]) == (False, "stale-version", 1)
    after, _ = example.python("s-0", "c-000", "rejected", "r-18", str(stale["current_version"]))
    assert (after["accepted"], after["version"], after["label"]) == (True, 2, None)

    unknown, _ = example.python("s-0", "c-999", "rejected", "r-17", "0")
    assert (unknown["accepted"], unknown["reason"]) == (False, "unknown-candidate")
    assert example.ledger("c-000") == [("confirmed", 1), ("rejected", 2)]


def test_the_console_tools_submit_and_hear_acceptance_and_refusal(example: Example, tools: Path) -> None:
    kind, fact = example.shell(tools, "s-1", "c-001")
    assert kind == FACTS
    assert (fact["candidate"], fact["verdict"], fact["version"], fact["label"]) == ("c-001", "rejected", 1, 0)
    kind, refusal = example.shell(tools, "s-1", "c-001")
    assert kind == REFUSALS
    assert refusal["reason"] == "stale-version"
    assert example.ledger("c-001") == [("rejected", 1)]


def test_the_page_names_every_verdict_refusal_and_topic() -> None:
    page = PAGE.read_text()
    assert not [word.value for word in (*Verdict, *Refusal) if f"`{word.value}`" not in page]
    assert not [topic for topic in (COMMANDS, FACTS, REFUSALS, READS) if f"`{topic}`" not in page]
