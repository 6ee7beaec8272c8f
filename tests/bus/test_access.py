"""How a cluster is named: by a URL that is right, or refused at once and not repeated."""

from __future__ import annotations

import socket

import pytest
from kafka.cluster import collect_hosts

from overread.bus import kafka_client
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access
from overread.core.errors import Misconfigured


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://host",
        "kafka:host:9092",
        "kafka://user:secret@host:9092",
        "kafka://host:9092?password=secret",
        "kafka://host:0",
        "kafka://host:65536",
        "kafka://host:9092,other:99999",
        "kafka://::1:9092",
        "kafka://[::1]",
        "kafka://[::g]:9092",
        "kafka://[secret]:9092",
    ],
)
def test_a_url_that_names_no_broker_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"bus_url.*1 to 65535.*\[::1\]:9092") as caught:
        Access.from_url(url)
    assert "secret" not in str(caught.value)
    assert "99999" not in str(caught.value)


def test_a_url_names_some_brokers() -> None:
    assert Access.from_url("kafka://one:9092,two:65535").servers == ("one:9092", "two:65535")


def test_an_ipv6_address_in_brackets_is_one_that_the_client_dials() -> None:
    servers = Access.from_url("kafka://[2001:db8::7]:9093,[::1]:1").servers
    hosts = collect_hosts(list(servers), randomize=False)
    assert hosts == [("2001:db8::7", 9093, socket.AF_INET6), ("::1", 1, socket.AF_INET6)]


def test_what_opens_the_door_is_not_shown() -> None:
    assert "secret" not in repr(Access(("host:1",), {"sasl_plain_password": "secret"}))


def test_without_crc32c_it_warns(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(kafka_client, "find_spec", lambda _: None)
    KafkaBus(Access(("host:1",)), {})
    assert "crc32c" in caplog.text
