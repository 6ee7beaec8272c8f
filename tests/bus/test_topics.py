"""Topics as code, on a real broker: made as wanted, never changed in passing, and every drift has a name."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kafka import TopicPartition

from brokers import MARKS, admin, make_topics
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access
from overread.bus.kafka_topics import Difference, Operator, shape
from overread.bus.port import Partition, Record, Topic
from overread.core.errors import BusUnavailable, InvalidEvent, Misconfigured
from overread.core.events import COMMANDS, FACTS, REFUSALS
from overread.simulation.broker import Cluster, free_ports
from overread.topology import DEAD_LETTERS, LINE, TOPICS, hears, needs

DAY = Topic(1, 1)


class TestShapes:
    def test_three_replicas_bear_the_loss_of_one_broker(self) -> None:
        assert shape(DAY, 3).settings["min.insync.replicas"] == "2"
        assert shape(DAY, 2).settings["min.insync.replicas"] == "1"
        assert shape(DAY, 1).settings["min.insync.replicas"] == "1"

    def test_what_is_kept_for_ever_is_limited_neither_by_time_nor_by_size(self) -> None:
        settings = shape(Topic(1, None), 3).settings
        assert (settings["retention.ms"], settings["retention.bytes"]) == ("-1", "-1")
        assert shape(Topic(1, 30), 3).settings["retention.ms"] == "2592000000"

    def test_a_correction_is_forced_to_the_disk_where_no_other_broker_has_it(self) -> None:
        assert {name for name, topic in TOPICS.items() if topic.forced} == {COMMANDS, REFUSALS, FACTS}
        assert shape(TOPICS[FACTS], 1).settings["flush.messages"] == "1"
        assert "flush.messages" not in shape(TOPICS[FACTS], 3).settings
        assert "flush.messages" not in shape(DAY, 1).settings

    def test_no_topic_is_compacted(self) -> None:
        every = {**TOPICS, **DEAD_LETTERS}.values()
        assert {shape(topic, 3).settings["cleanup.policy"] for topic in every} == {"delete"}

    def test_each_room_has_its_own_dead_letters_of_each_topic_that_it_hears(self) -> None:
        heard = {(row.consumes.topic, row.room) for row in LINE if not isinstance(row.consumes, str)}
        assert {f"{topic}.{room}.dlq": Topic(1, None) for topic, room in heard} == DEAD_LETTERS
        assert hears("review") == {topic for topic, room in heard if room == "review"}
        assert needs("relay") == {*TOPICS, *DEAD_LETTERS}
        assert needs("trainer.round") == frozenset()


@pytest.fixture
def operator(cluster: Cluster) -> Iterator[Operator]:
    cluster.start()
    with Operator(Access.from_url(cluster.url)) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    return f"topics-{uuid4().hex[:12]}"


class TestOnABroker:
    pytestmark = MARKS

    def test_what_was_made_is_as_wanted(self, operator: Operator, name: str) -> None:
        wanted = operator.shapes({name: Topic(4, 30, forced=True), f"{name}.room.dlq": Topic(1, None)})
        assert operator.differences(wanted) == [
            Difference(name, "topic", "there", "absent"),
            Difference(f"{name}.room.dlq", "topic", "there", "absent"),
        ]
        assert operator.absent(wanted) == sorted(wanted)
        operator.make(wanted)
        assert operator.differences(wanted) == []
        assert operator.absent([*wanted, f"{name}-another"]) == [f"{name}-another"]

    def test_without_a_number_there_are_as_many_replicas_as_brokers(self, operator: Operator, name: str) -> None:
        assert operator.brokers() == 1
        assert operator.shapes({name: DAY})[name].replicas == 1
        assert operator.shapes({name: DAY}, 3)[name].replicas == 3

    def test_more_replicas_than_brokers_are_refused_with_the_reason(self, operator: Operator, name: str) -> None:
        with pytest.raises(Misconfigured, match=f"{name}.*replication factor"):
            operator.make(operator.shapes({name: DAY}, 3))

    def test_a_topic_of_somebody_elses_making_is_named_and_left_alone(
        self, operator: Operator, cluster: Cluster, name: str
    ) -> None:
        make_topics(cluster, {name: 2}, **{"cleanup.policy": "compact"})
        wanted = operator.shapes({name: Topic(4, None, forced=True)})
        drift = operator.differences(wanted)
        week = "604800000"  # the broker's own default: facts would be gone after it
        assert {(one.what, one.wanted, one.found, one.mend) for one in drift} == {
            ("partitions", "4", "2", "by hand"),
            ("cleanup.policy", "delete", "compact", "apply --alter"),
            ("retention.ms", "-1", week, "apply --alter"),
            ("flush.messages", "1", "9223372036854775807", "apply --alter"),
        }
        operator.make(wanted)
        assert operator.differences(wanted) == drift

    def test_settings_are_put_right_when_somebody_asked_and_partitions_never(
        self, operator: Operator, cluster: Cluster, name: str
    ) -> None:
        make_topics(cluster, {name: 2}, **{"retention.ms": "1000", "segment.bytes": "1048576"})
        wanted = operator.shapes({name: Topic(4, None)})
        operator.alter(operator.differences(wanted))
        assert operator.differences(wanted) == [Difference(name, "partitions", "4", "2")]
        kept = operator._settings({name: ["segment.bytes"]})
        assert kept == {name: {"segment.bytes": "1048576"}}, "what nobody asked for stays"

    def test_900_kib_fit_where_they_did_not(self, operator: Operator, cluster: Cluster, name: str) -> None:
        make_topics(cluster, {name: 1}, **{"max.message.bytes": "100000"})
        bus = KafkaBus(Access.from_url(cluster.url), {name: 1})
        large = [Record(name, "key", bytes(900 << 10))]
        with pytest.raises(InvalidEvent):
            bus.publish(large)
        operator.alter(operator.differences(operator.shapes({name: DAY})))
        bus.publish(large)
        bus.close()

    def test_where_a_topic_begins_and_ends(self, operator: Operator, cluster: Cluster, name: str) -> None:
        operator.make(operator.shapes({name: Topic(2, 1)}))
        bus = KafkaBus(Access.from_url(cluster.url), {name: 1})
        bus.publish([Record(name, "key", b"") for _ in range(5)])
        bus.close()
        with admin(cluster) as client:
            client.delete_records({TopicPartition(name, 0): 3})
        extents = operator.extents([Partition(name, 0), Partition(name, 1)])
        assert extents == {Partition(name, 0): (3, 5), Partition(name, 1): (0, 0)}
        assert operator.extents([]) == {}


@pytest.mark.network
def test_a_cluster_that_is_away_is_said_with_its_address() -> None:
    (port,) = free_ports(1)
    with pytest.raises(BusUnavailable, match=f"127.0.0.1:{port}"), Operator(Access((f"127.0.0.1:{port}",), answer=0.3)):
        pytest.fail("nobody is there")
