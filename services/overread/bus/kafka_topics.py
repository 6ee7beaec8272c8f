"""Topics as code: what the topology wants, what a Kafka cluster has, and how the one is made of the other.

Nothing is changed in passing. `make` makes what is absent; `alter` changes settings, when somebody asked for it.
Neither gives a topic more partitions: a key would change its partition, and what was said of it first could be read
last. Nor do they change replicas: that moves data between brokers, which is the operator's to plan.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from overread.bus.kafka_client import Access, milliseconds, opened, translated
from overread.bus.port import Partition, Topic
from overread.core.errors import BusUnavailable, Misconfigured

REPLICAS = 3
"""Of each partition, where there are so many brokers."""
BATCH_BYTES = 1_048_588
"""max.message.bytes: a batch with one record of 900 KiB, its headers, and what is added to a dead letter."""


class Shape(NamedTuple):
    """What a cluster is told of a topic."""

    partitions: int
    replicas: int
    settings: dict[str, str]


class Difference(NamedTuple):
    """Something about a topic that is not as wanted."""

    topic: str
    what: str
    """`topic` where it is absent, `partitions`, `replicas`, or the name of a setting."""
    wanted: str
    found: str

    @property
    def mend(self) -> str:
        """What puts it right."""
        if self.what == "topic":
            return "apply"
        return "by hand" if self.what in {"partitions", "replicas"} else "apply --alter"


def shape(topic: Topic, replicas: int) -> Shape:
    """Return what a cluster is told, for so many replicas.

    Every setting that could lose an event is said, whatever the brokers' own defaults are.
    """
    settings = {
        "cleanup.policy": "delete",  # compaction would keep one event a key, and a key is a study
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": "-1",
        "max.message.bytes": str(BATCH_BYTES),
        "min.insync.replicas": str(max(1, replicas - 1)),
        "unclean.leader.election.enable": "false",
    }
    if topic.forced and replicas == 1:
        settings["flush.messages"] = "1"
    return Shape(topic.partitions, replicas, settings)


class Operator:
    """Speaks to a cluster about its topics, as a context manager. What it asks needs DESCRIBE; `make` needs CREATE.

    Raises:
        BusUnavailable: no broker answers.
        Misconfigured: a right is missing.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client: Any = None

    def __enter__(self) -> Self:
        patience = milliseconds(self._access.answer)
        self._client = opened(KafkaAdminClient, self._access, request_timeout_ms=patience)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def brokers(self) -> int:
        """Return how many brokers the cluster has; one that is down for a while counts."""
        with _asking("the brokers"):
            return len(self._client.describe_cluster()["brokers"])

    def shapes(self, topics: Mapping[str, Topic], replicas: int | None = None) -> dict[str, Shape]:
        """Return what the topics should be on this cluster; without a number, three replicas or one a broker."""
        number = replicas or min(REPLICAS, self.brokers())
        return {name: shape(topic, number) for name, topic in topics.items()}

    def absent(self, names: Iterable[str]) -> list[str]:
        """Return those topics that are not there."""
        wanted = sorted(names)
        found = self._described(wanted)
        return [name for name in wanted if name not in found]

    def _described(self, names: Iterable[str]) -> dict[str, list[Any]]:
        """Return the partitions of those topics that are there."""
        found = {}
        with _asking("the topics"):
            for topic in self._client.describe_topics(sorted(names)):
                error = for_code(topic["error_code"])
                if error is NoError:
                    found[topic["name"]] = topic["partitions"]
                elif error is not UnknownTopicOrPartitionError:
                    raise error(topic["name"])
        return found

    def differences(self, wanted: Mapping[str, Shape]) -> list[Difference]:
        """Return everything that is not as wanted, absent topics first."""
        described = self._described(wanted)
        found = [Difference(name, "topic", "there", "absent") for name in wanted if name not in described]
        settings = self._settings({name: wanted[name].settings for name in wanted if name in described})
        for name, one in wanted.items():
            if name not in described:
                continue
            partitions = described[name]
            replicas = min(len(partition["replica_nodes"]) for partition in partitions)
            held = {"partitions": len(partitions), "replicas": replicas, **settings[name]}
            asked = {"partitions": one.partitions, "replicas": one.replicas, **one.settings}
            found += [
                Difference(name, what, str(value), str(held[what]))
                for what, value in asked.items()
                if str(held[what]) != str(value)
            ]
        return found

    def _settings(self, names: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
        """Return the named settings of topics as they are in force, whoever set them."""
        if not names:
            return {}
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic, sorted(some)) for topic, some in names.items()]
        with _asking("the topics' settings"):
            told = self._client.describe_configs(asked, config_filter="all")["topic"]
        for topic, some in names.items():
            if not set(some) <= set(told[topic]):  # the client passes over the broker's refusal
                raise Misconfigured(f"kafka: {topic}: this user may not read its settings; grant DescribeConfigs")
        return {topic: {what: told[topic][what]["value"] for what in some} for topic, some in names.items()}

    def make(self, wanted: Mapping[str, Shape]) -> None:
        """Make topics, and wait until they can be used; one that is there already stays as it is."""
        if not wanted:
            return
        asked = {
            name: {"num_partitions": one.partitions, "replication_factor": one.replicas, "configs": one.settings}
            for name, one in wanted.items()
        }
        with _asking("making topics"):
            for topic in self._client.create_topics(asked, raise_errors=False)["topics"]:
                error = for_code(topic["error_code"])
                if error in {NoError, TopicAlreadyExistsError}:  # another operator was quicker
                    continue
                if error.retriable or issubclass(error, AuthorizationError):
                    raise error(topic["name"])
                raise Misconfigured(f"kafka: {topic['name']} can't be made: {topic['error_message']}")
            self._client.wait_for_topics(list(wanted))

    def alter(self, differences: Iterable[Difference]) -> None:
        """Change the settings among these differences to what is wanted, and wait until they are in force."""
        changes: dict[str, dict[str, str]] = {}
        for one in differences:
            if one.mend == "apply --alter":
                changes.setdefault(one.topic, {})[one.what] = one.wanted
        if not changes:
            return
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic, some) for topic, some in changes.items()]
        with _asking("changing settings"):
            answers: dict[str, str] = self._client.alter_configs(asked)["topic"]
        for topic, answer in answers.items():
            if answer != "OK":
                raise Misconfigured(f"kafka: {topic}: its settings were not changed: {answer}")
        deadline = time.monotonic() + self._access.answer
        while self._settings(changes) != changes:
            if time.monotonic() > deadline:
                raise BusUnavailable("kafka: the settings were changed, and are not in force yet; check again")
            time.sleep(0.05)

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        """Return the first offset that each partition still holds, and the one after its last."""
        places = [TopicPartition(*partition) for partition in partitions]
        with _asking("where the topics end"):
            first, last = (
                self._client.list_partition_offsets(dict.fromkeys(places, which)) if places else {}
                for which in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
            )
        return {Partition(*place): (first[place].offset, last[place].offset) for place in places}


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise translated(error, f"kafka: {what}") from error
