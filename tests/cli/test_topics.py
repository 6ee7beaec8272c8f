"""`overread topics`: plan changes nothing, apply makes what is absent, check names what drifted. And the doctor."""

from __future__ import annotations

import time

import pytest

from brokers import EVERY, MARKS, admin, make_topics, without_topics
from cli.said import Run
from overread.bus import reading
from overread.bus.kafka_client import Access
from overread.bus.kafka_topics import Difference, Operator
from overread.simulation.broker import Cluster, free_ports
from overread.topology import DEAD_LETTERS

FACTS = "overread.finding.corrected.v1"


@pytest.fixture
def bare(cluster: Cluster) -> Cluster:
    """A cluster without any of our topics."""
    return without_topics(cluster)


def named(cluster: Cluster) -> set[str]:
    with admin(cluster) as operator:
        return set(operator.list_topics()) & EVERY.keys()


class TestOnABroker:
    pytestmark = MARKS

    def test_a_new_cluster_is_planned_made_and_found_right(self, overread: Run, bare: Cluster) -> None:
        bus = ("--bus", bare.url)
        planned = overread("topics", "plan", *bus, "--json").facts
        assert {row["topic"]: row["apply"] for row in planned["topics"]} == dict.fromkeys(EVERY, "makes it")
        assert named(bare) == set()
        missing = overread("topics", "check", *bus)
        assert missing.code == 1
        assert all(name in missing.out for name in EVERY)

        made = overread("topics", "apply", *bus, "--json").facts
        assert made == {"made": sorted(EVERY), "altered": [], "differences": []}
        assert named(bare) == EVERY.keys()
        assert overread("topics", "check", *bus).code == 0
        again = overread("topics", "apply", *bus, "--json").facts
        assert again == {"made": [], "altered": [], "differences": []}
        said = overread("topics", "plan", *bus)
        assert "makes it" not in said.out
        assert "flush.messages=1" in said.out

    def test_drift_is_named_and_changed_only_when_asked(self, overread: Run, bare: Cluster) -> None:
        make_topics(bare, {FACTS: 1}, **{"retention.ms": "60000"})
        bus = ("--bus", bare.url, "--json")
        retention = {"topic": FACTS, "what": "retention.ms", "wanted": "-1", "found": "60000", "mend": "apply --alter"}
        partitions = {"topic": FACTS, "what": "partitions", "wanted": "4", "found": "1", "mend": "by hand"}
        applied = overread("topics", "apply", *bus).facts
        assert len(applied["made"]) == len(EVERY) - 1
        assert applied["altered"] == []
        assert {retention["what"], partitions["what"]} < {one["what"] for one in applied["differences"]}
        checked = overread("topics", "check", *bus)
        assert checked.code == 1
        assert retention in checked.facts["differences"]

        altered = overread("topics", "apply", "--alter", *bus).facts
        assert retention in altered["altered"]
        assert altered["differences"] == [partitions], "partitions are never added"
        table = overread("topics", "check", "--bus", bare.url)
        assert table.code == 1
        assert all(word in table.out for word in partitions.values())

    def test_the_doctor_counts_brokers_and_names_what_mends_absent_topics(self, overread: Run, bare: Cluster) -> None:
        def topics() -> dict[str, str]:
            facts = overread("--set", f"bus_url={bare.url}", "doctor", "--json").facts
            found = {check["what"]: check for check in facts}
            assert found["bus"]["state"] == "ok"
            assert "brokers: 1" in found["bus"]["detail"]
            return dict(found["topics"])

        assert (topics()["state"], topics()["mend"]) == ("missing", f"overread topics apply --bus {bare.url}")
        assert overread("topics", "apply", "--bus", bare.url).code == 0
        assert topics()["state"] == "ok"
        drift = Difference(FACTS, "retention.ms", "60000", "-1")
        with Operator(Access.from_url(bare.url)) as operator:
            operator.alter([drift])
        assert (topics()["state"], topics()["detail"]) == ("absent", "1 differences")

    def test_a_room_does_not_begin_without_its_topics(self, overread: Run, bare: Cluster) -> None:
        for room in ("rollout", "relay"):
            said = overread("--set", f"bus_url={bare.url}", "--set", "health_port=0", "run", room)
            assert said.code == 2
            assert f"overread topics apply --bus {bare.url}" in said.err

    def test_letters_of_a_cluster_without_topics_are_not_waited_for(self, overread: Run, bare: Cluster) -> None:
        for arguments in (("list", "--json"), ("show", "3f9a02c1")):
            began = time.monotonic()
            said = overread("--set", f"bus_url={bare.url}", "dlq", *arguments)
            assert time.monotonic() - began < reading.PATIENCE / 2
            assert (said.code, said.out) == (2, "")
            (line,) = [line for line in said.err.splitlines() if "error:" in line]
            assert line.endswith(f"its operator makes them: overread topics apply --bus {bare.url}")
            assert not any(name in line for name in DEAD_LETTERS)


def test_the_embedded_bus_has_no_topics_to_make(overread: Run) -> None:
    for command in ("plan", "apply", "check"):
        said = overread("topics", command)
        assert said.code == 2
        assert "bus_url" in said.err


@pytest.mark.network
def test_the_doctor_says_that_a_bus_is_away(overread: Run) -> None:
    (port,) = free_ports(1)
    said = overread("--set", f"bus_url=kafka://127.0.0.1:{port}", "doctor", "--json")
    found = {check["what"]: check for check in said.facts}
    assert said.code == 1
    assert (found["bus"]["state"], "topics" in found) == ("missing", False)
    assert "ECONNREFUSED" in found["bus"]["detail"]
