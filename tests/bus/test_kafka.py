"""What the Kafka bus does beyond the contract of all buses, and how it bears a broker that fails."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

import pytest
from kafka import KafkaProducer, TopicPartition

from brokers import MARKS, admin, make_topics
from overread.bus.dead_letters import dead_letter
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access
from overread.bus.kafka_consumer import KafkaConsumer
from overread.bus.port import LARGEST, Message, Partition, Record
from overread.core.errors import BusUnavailable, Fenced, InvalidEvent, Misconfigured
from overread.simulation.broker import Cluster, free_ports

PATIENCE = 20.0
TIMES = {"answer": 3.0, "delivery": PATIENCE, "session": 60.0}


@pytest.fixture
def topic(cluster: Cluster) -> str:
    cluster.start()
    name = f"kafka-{uuid4().hex[:12]}"
    make_topics(cluster, {name: 1})
    return name


@pytest.fixture
def bus(cluster: Cluster, topic: str) -> Iterator[KafkaBus]:
    connected = connect(cluster, topic)
    yield connected
    connected.close()


def connect(cluster: Cluster, topic: str, partitions: int = 1, **times: float) -> KafkaBus:
    return KafkaBus(Access.from_url(cluster.url, **{**TIMES, **times}), {topic: partitions})


def tell(bus: KafkaBus, topic: str, *numbers: int) -> None:
    bus.publish([Record(topic, "key", str(number).encode()) for number in numbers])


def hear(consumer: KafkaConsumer, count: int) -> list[int]:
    found: list[Message] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.poll(100, 0.2)
    return [int(message.record.value or b"-1") for message in found]


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "kafka" in thread.name.lower()}


@pytest.mark.network
def test_the_reason_why_nobody_lets_us_in_is_carried_along_and_nothing_is_left_behind() -> None:
    before = threads()
    (port,) = free_ports(1)
    bus = KafkaBus(Access((f"127.0.0.1:{port}",), answer=0.3), {})
    with pytest.raises(BusUnavailable, match="ECONNREFUSED"):
        bus.publish([Record("topic", "key", b"")])
    with pytest.raises(BusUnavailable, match="ECONNREFUSED"):
        bus.consumer("group", ["topic"], "member").poll(1, 0.0)
    assert threads() <= before


@pytest.mark.network
@pytest.mark.parametrize(
    ("says", "reason"), [(b"no TLS here\r\n", r"(?i)handshake failed.*ssl"), (b"", "said nothing")]
)
def test_a_server_that_speaks_no_tls_or_nothing_at_all_is_named_as_the_reason(says: bytes, reason: str) -> None:
    """The client's own constructor would wait for the silent one for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peers = []
            with suppress(OSError):
                while True:
                    peers.append(server.accept()[0])
                    peers[-1].sendall(says)
            for peer in peers:
                peer.close()

        serving = threading.Thread(target=answer)
        serving.start()
        bus = KafkaBus(Access((f"127.0.0.1:{server.getsockname()[1]}",), {"security_protocol": "SSL"}, answer=0.5), {})
        with pytest.raises((BusUnavailable, Misconfigured), match=reason):
            bus.publish([Record("topic", "key", b"")])
        gc.collect()
        server.shutdown(socket.SHUT_RDWR)
        serving.join()


class TestPublishing:
    pytestmark = MARKS

    def test_what_is_too_large_is_refused_before_anything_is_sent(self, bus: KafkaBus, topic: str) -> None:
        with pytest.raises(InvalidEvent, match="too large"):
            bus.publish([Record(topic, "key", b"1"), Record(topic, "key", bytes(LARGEST))])
        tell(bus, topic, 2)
        assert hear(bus.consumer(f"{topic}-readers", [topic], "one"), 1) == [2]

    def test_what_the_broker_refuses_for_ever_poisons_nothing(self, cluster: Cluster, topic: str) -> None:
        make_topics(cluster, {f"{topic}-small": 1}, **{"max.message.bytes": "1000"})
        bus = connect(cluster, f"{topic}-small")
        with pytest.raises(InvalidEvent, match="refused"):
            bus.publish([Record(f"{topic}-small", "key", bytes(2000))])
        tell(bus, f"{topic}-small", 1)
        assert hear(bus.consumer(f"{topic}-readers", [f"{topic}-small"], "one"), 1) == [1]
        bus.close()

    def test_a_topic_that_is_not_there_is_named(self, cluster: Cluster, topic: str) -> None:
        bus = connect(cluster, topic, answer=0.5)
        with pytest.raises(BusUnavailable, match=f"{topic}-absent"):
            tell(bus, f"{topic}-absent", 1)
        bus.close()

    def test_a_topic_with_too_few_partitions_is_refused(self, cluster: Cluster, topic: str) -> None:
        bus = connect(cluster, topic, partitions=4)
        with pytest.raises(Misconfigured, match="has 1 partitions, and the topology 4"):
            tell(bus, topic, 1)
        bus.close()

    def test_a_frozen_broker_leaves_no_producer_that_hangs_and_order_holds(self, cluster: Cluster, topic: str) -> None:
        """The client's own producer would hang for ever here, or send what stands behind a record that failed."""
        bus = connect(cluster, topic, delivery=1.0)
        tell(bus, topic, 0)
        before = threads()
        cluster.nodes[0].freeze()
        with pytest.raises(BusUnavailable):
            tell(bus, topic, 1, 2, 3)
        assert len(threads()) < len(before), "its thread has ended"
        cluster.nodes[0].thaw()
        tell(bus, topic, 1, 2, 3)
        tell(bus, topic, 4)
        heard = hear(bus.consumer(f"{topic}-readers", [topic], "one"), 5)
        assert list(dict.fromkeys(heard)) == [0, 1, 2, 3, 4][: len(dict.fromkeys(heard))]
        bus.close()

    def test_a_killed_broker_comes_back_with_all_that_it_acknowledged(self, cluster: Cluster, topic: str) -> None:
        bus = connect(cluster, topic)
        consumer = bus.consumer(f"{topic}-readers", [topic], "one")
        tell(bus, topic, *range(50))
        assert hear(consumer, 50) == list(range(50))
        cluster.nodes[0].kill()
        cluster.start()
        tell(bus, topic, *range(50, 60))
        assert hear(consumer, 10) == list(range(50, 60))
        bus.close()


class TestReading:
    pytestmark = MARKS

    def test_a_crashed_member_has_its_partitions_back_long_before_its_session_ends(
        self, bus: KafkaBus, topic: str
    ) -> None:
        tell(bus, topic, 1, 2)
        crashed = bus.consumer(f"{topic}-readers", [topic], "the-same")
        assert hear(crashed, 2) == [1, 2]
        crashed._drop()  # no goodbye
        assert TIMES["session"] > PATIENCE
        assert hear(bus.consumer(f"{topic}-readers", [topic], "the-same"), 2) == [1, 2]

    def test_two_processes_of_one_name_do_not_take_it_from_each_other_for_ever(
        self, cluster: Cluster, topic: str
    ) -> None:
        buses = [connect(cluster, topic, session=3.0) for _ in range(2)]
        tell(buses[0], topic, *range(10))
        rivals = [each.consumer(f"{topic}-readers", [topic], "same-name") for each in buses]
        heard: set[int] = set()
        ended: list[KafkaConsumer] = []
        deadline = time.monotonic() + 3 * PATIENCE
        while not ended and time.monotonic() < deadline:
            for rival in rivals:
                try:
                    found = rival.poll(100, 0.2)
                    heard.update(int(message.record.value or b"-1") for message in found)
                    with suppress(Fenced):
                        rival.commit({message.partition: message.offset + 1 for message in found})
                except BusUnavailable:
                    continue
                except Misconfigured as error:
                    assert "kafka.member" in str(error)  # noqa: PT017 - which of the two it is nobody knows
                    ended.append(rival)
        (loser,) = ended
        (winner,) = set(rivals) - {loser}
        tell(buses[0], topic, 10)
        heard.update(hear(winner, 1))
        assert heard == set(range(11))
        for each in buses:
            each.close()

    def test_an_offset_that_the_log_does_not_hold_is_an_alarm(self, bus: KafkaBus, topic: str) -> None:
        tell(bus, topic, 1)
        consumer = bus.consumer(f"{topic}-readers", [topic], "one")
        assert hear(consumer, 1) == [1]
        consumer.seek(Partition(topic, 0), 1000)
        with pytest.raises(Misconfigured, match="does not hold"):
            hear(consumer, 1)

    def test_the_beginning_is_the_oldest_that_is_kept(self, cluster: Cluster, bus: KafkaBus, topic: str) -> None:
        tell(bus, topic, *range(5))
        consumer = bus.consumer(f"{topic}-readers", [topic], "one")
        assert hear(consumer, 5) == list(range(5))
        with admin(cluster) as operator:
            operator.delete_records({TopicPartition(topic, 0): 3})
        consumer.seek(Partition(topic, 0), 0)
        assert hear(consumer, 2) == [3, 4]

    def test_what_other_systems_write_is_read_however_odd(self, cluster: Cluster, bus: KafkaBus, topic: str) -> None:
        foreign = KafkaProducer(bootstrap_servers=cluster.servers, acks="all")
        foreign.send(topic, b"1")
        foreign.send(topic, b"2", key=b"\xff", headers=[("twice", b"a"), ("twice", b"b")]).get(PATIENCE)
        foreign.close(timeout=5)
        consumer = bus.consumer(f"{topic}-readers", [topic], "one")
        deadline = time.monotonic() + PATIENCE
        found: list[Message] = []
        while len(found) < 2 and time.monotonic() < deadline:
            found += consumer.poll(10, 0.2)
        assert [message.record.key for message in found] == ["", "\ufffd"]
        assert found[1].record.headers == {"twice": b"b"}

    def test_a_headers_name_that_is_no_text_stops_nobody(self, cluster: Cluster, bus: KafkaBus, topic: str) -> None:
        foreign = KafkaProducer(bootstrap_servers=cluster.servers, acks="all", compression_type="gzip")
        names = (NoText(b"\xff\xfe"), NoText(b"half \xc3"), "plain")
        foreign.send(topic, b"1", headers=[(name, b"\xff") for name in names]).get(PATIENCE)
        foreign.send(topic, b"2", headers=[("ce_id", b"2")]).get(PATIENCE)
        foreign.close(timeout=5)
        consumer = bus.consumer(f"{topic}-readers", [topic], "one")
        deadline = time.monotonic() + PATIENCE
        found: list[Message] = []
        while len(found) < 2 and time.monotonic() < deadline:
            found += consumer.poll(10, 0.2)
        assert [message.record.value for message in found] == [b"1", b"2"]
        assert found[0].record.headers == {"\ufffd\ufffd": b"\xff", "half \ufffd": b"\xff", "plain": b"\xff"}
        assert found[1].record.headers == {"ce_id": b"2"}
        letter = dead_letter(found[0], "tested", InvalidEvent("no event"), 1)
        bus.publish([Record(topic, letter.key, letter.value, letter.headers)])

    def test_a_member_that_gets_nothing_though_there_is_something_joins_anew(
        self, cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus = connect(cluster, topic, stall=0.0)
        consumer = bus.consumer(f"{topic}-readers", [topic], "one")
        tell(bus, topic, 1)
        assert hear(consumer, 1) == [1]
        consumer.commit({Partition(topic, 0): 1})
        monkeypatch.setattr(consumer._client, "poll", nothing)
        tell(bus, topic, 2)
        assert hear(consumer, 1) == [2]
        assert "joining anew" in caplog.text
        bus.close()


class NoText(str):
    """A header's name as another client may write it: any bytes."""

    __slots__ = ("_content",)

    def __new__(cls, content: bytes) -> Self:
        made = super().__new__(cls, content.decode("latin-1"))
        made._content = content
        return made

    def encode(self, *_: object) -> bytes:
        return self._content


def nothing(*_: Any, **__: Any) -> dict[Any, Any]:
    return {}
