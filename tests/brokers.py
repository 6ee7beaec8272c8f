"""One real Kafka broker for all tests of a session, and topics that no other test knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from overread.simulation.broker import Cluster

MARKS = [pytest.mark.network, pytest.mark.part("default-jre-headless"), pytest.mark.part("maven")]
"""What a test with a broker carries."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node, not started yet; whoever needs it starts it, again if another test has ended it."""
    # A broker that was killed comes back sooner.
    quick = {"broker.session.timeout.ms": "1000", "broker.heartbeat.interval.ms": "300"}
    folder: Path = tmp_path_factory.mktemp("kafka")
    made = Cluster(folder, settings=quick)
    yield made
    made.stop()


def admin(cluster: Cluster) -> closing[KafkaAdminClient]:
    """Speak to the cluster as its operator."""
    return closing(KafkaAdminClient(bootstrap_servers=cluster.servers))


def make_topics(cluster: Cluster, topics: Mapping[str, int], **settings: str) -> None:
    """Make topics with so many partitions, and wait until they can be used."""
    made = [NewTopic(name, partitions, 1, topic_configs=settings) for name, partitions in topics.items()]
    with admin(cluster) as operator:
        operator.create_topics(made)
        operator.wait_for_topics(list(topics))
