"""One real Kafka broker for all tests of a session, and topics that no other test knows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from overread.simulation.broker import Cluster
from overread.topology import DEAD_LETTERS, TOPICS

MARKS = [pytest.mark.network, pytest.mark.part("default-jre-headless"), pytest.mark.part("maven")]
"""What a test with a broker carries."""

EVERY = {**TOPICS, **DEAD_LETTERS}
"""The topics of a house, with their partitions."""


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


def without_topics(cluster: Cluster) -> Cluster:
    """Return the cluster, running, without any topic of a house: an earlier test may have left some."""
    cluster.start()
    with admin(cluster) as operator:
        while left := sorted(set(operator.list_topics()) & EVERY.keys()):  # they go a moment later
            operator.delete_topics(left, raise_errors=False)
            time.sleep(0.05)
    return cluster


def make_topics(cluster: Cluster, topics: Mapping[str, int], **settings: str) -> None:
    """Make topics with so many partitions, and wait until they can be used."""
    made = [NewTopic(name, partitions, 1, topic_configs=settings) for name, partitions in topics.items()]
    with admin(cluster) as operator:
        operator.create_topics(made)
        operator.wait_for_topics(list(topics))
