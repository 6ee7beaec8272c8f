"""Who may speak on the bus: real brokers with SCRAM over TLS, with certificates, and with the ACLs that we generate."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from brokers import MARKS
from bus.secured import admin, by_certificate, by_password, client_file
from certificates import Authority
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access, opened
from overread.bus.kafka_login import options
from overread.bus.kafka_topics import Operator
from overread.bus.port import Record
from overread.catalog.rights import INTEGRATOR, RELAY, commands, rights
from overread.config import Kafka
from overread.core.errors import BusUnavailable, Misconfigured
from overread.core.events import COMMANDS, FACTS, REFUSALS
from overread.simulation.broker import Cluster
from overread.topology import DEAD_LETTERS, OPERATOR, TOPICS, hears

pytestmark = MARKS
PARTITIONS = {name: topic.partitions for name, topic in TOPICS.items()}
ROLES = sorted({right.role for right in rights()})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "hospital")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, authority: Authority, tools: Path) -> Iterator[Cluster]:
    """A cluster with a user for every role, the rights of `overread acls`, and the topics that the operator made.

    One role's rights are granted by the lines for kafka-acls; a JVM for each line of all roles would take a minute.
    """
    made = by_password(tmp_path_factory.mktemp("guarded"), authority, authority.certificate("broker"))
    with made as cluster:
        with closing(
            opened(KafkaAdminClient, Access.from_url(cluster.url, security=options(admin(authority), "")))
        ) as client:
            client.alter_user_scram_credentials(
                [
                    UserScramCredentialUpsertion(
                        f"overread-{role}", ScramMechanism.SCRAM_SHA_256, f"of {role}".encode()
                    )
                    for role in ROLES
                ]
            )
            theirs = f"User:overread-{INTEGRATOR}"
            assert not client.create_acls([one for one in _acls() if one.principal != theirs])["failed"]
        file = tools / "admin.properties"
        file.write_text(client_file(authority))
        lines = [line for line in commands(cluster.servers[0], str(file), "overread-{room}") if theirs in line]
        path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        subprocess.run(["sh", "-e"], input="\n".join(lines).encode(), env=path, check=True, capture_output=True)
        with Operator(_access(cluster, authority, OPERATOR)) as operator:
            operator.make(operator.shapes(TOPICS | DEAD_LETTERS))
            assert operator.differences(operator.shapes(TOPICS | DEAD_LETTERS)) == []
        yield cluster


def _acls() -> Iterator[ACL]:
    words = {"Read": "READ", "Write": "WRITE", "Create": "CREATE", "Describe": "DESCRIBE"}
    words |= {"DescribeConfigs": "DESCRIBE_CONFIGS", "AlterConfigs": "ALTER_CONFIGS"}
    for right in rights():
        pattern = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
        what = ResourcePattern(ResourceType[right.kind.upper()], right.name, pattern)
        who = f"User:overread-{right.role}"
        for operation in right.operations:
            yield ACL(who, "*", ACLOperation[words[operation]], ACLPermissionType.ALLOW, what)


def _login(authority: Authority, role: str, **more: Any) -> Kafka:
    return Kafka(
        **{
            "ca": authority.file,
            "mechanism": "SCRAM-SHA-256",
            "user": "overread-{room}",
            "password": f"of {role}",
            **more,
        }
    )


def _access(cluster: Cluster, authority: Authority, role: str, **more: Any) -> Access:
    security = options(_login(authority, role, **more), role)
    return Access.from_url(cluster.url, security=security, answer=3.0, delivery=10.0)


def _bus(cluster: Cluster, authority: Authority, role: str) -> closing[KafkaBus]:
    return closing(KafkaBus(_access(cluster, authority, role), PARTITIONS))


def _hear(bus: KafkaBus, group: str, topic: str) -> list[bytes | None]:
    consumer = bus.consumer(group, [topic], f"{group}-0")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := consumer.poll(10, 0.5):
            return [message.record.value for message in found]
    return []


def test_the_relay_writes_and_a_room_reads_what_is_its_own(guarded: Cluster, authority: Authority) -> None:
    with _bus(guarded, authority, RELAY) as relay, _bus(guarded, authority, "review") as review:
        relay.publish([Record(topic, "key", b"{}") for topic in (*TOPICS, *DEAD_LETTERS)])
        assert _hear(review, "review", COMMANDS)


def test_another_system_may_write_commands_and_hears_what_became_of_them(
    guarded: Cluster, authority: Authority
) -> None:
    with _bus(guarded, authority, INTEGRATOR) as theirs, _bus(guarded, authority, RELAY) as relay:
        theirs.publish([Record(COMMANDS, "key", b"{}")])
        relay.publish([Record(REFUSALS, "key", b"refused")])
        assert b"refused" in _hear(theirs, f"{INTEGRATOR}-pacs", REFUSALS)
        with pytest.raises(Misconfigured, match=r"lacks the right.*grant it"):
            theirs.publish([Record(FACTS, "key", b"{}")])


@pytest.mark.parametrize("room", ["inference", "review", OPERATOR])
def test_no_room_but_the_relay_writes_facts(guarded: Cluster, authority: Authority, room: str) -> None:
    with (
        _bus(guarded, authority, room) as bus,
        pytest.raises(Misconfigured, match=r"publishing to overread.finding.corrected.v1: this user lacks the right"),
    ):
        bus.publish([Record(FACTS, "key", b"{}")])


def test_a_room_with_another_rooms_credentials_is_refused(guarded: Cluster, authority: Authority) -> None:
    with Operator(_access(guarded, authority, "inference")) as asking:
        assert asking.absent(hears("inference")) == []
        with pytest.raises(Misconfigured, match=r"this user lacks the right: .*TopicAuthorization"):  # as it starts
            asking.absent(hears("review"))
    with (
        _bus(guarded, authority, "inference") as bus,
        pytest.raises(Misconfigured, match=r"rollout: .*this user lacks the right"),
    ):
        _hear(bus, "rollout", FACTS)


def test_who_is_not_the_operator_makes_no_topics(guarded: Cluster, authority: Authority) -> None:
    with (
        Operator(_access(guarded, authority, "review")) as review,
        pytest.raises(Misconfigured, match="lacks the right"),
    ):
        review.make(review.shapes({"overread.of.our.own": TOPICS[FACTS]}, 1))


@pytest.mark.parametrize("wrong", [{"password": "a wrong secret"}, {"user": "nobody", "password": "a wrong secret"}])
def test_a_wrong_password_is_said_at_the_start(
    guarded: Cluster, authority: Authority, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Misconfigured, match=r"refused us: .*([Aa]uthentication failed|password .* is wrong)") as found:
        Operator(_access(guarded, authority, "review", **wrong)).__enter__()
    assert "a wrong secret" not in str(found.value) + caplog.text


def test_a_stranger_among_the_brokers_is_not_believed(guarded: Cluster, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    with pytest.raises(Misconfigured, match=r"refused us: .*certificate verify failed"):
        Operator(_access(guarded, authority, "review", ca=stranger.file)).__enter__()


def test_without_tls_there_is_a_hint(guarded: Cluster) -> None:
    with pytest.raises(BusUnavailable, match=r"may want TLS or a password, see the settings kafka\.\*"):
        Operator(Access.from_url(guarded.url, answer=3.0)).__enter__()


def test_certificates_let_in_and_expired_ones_do_not(tmp_path: Path, authority: Authority) -> None:
    ours, old = authority.certificate("operator"), authority.certificate("old", timedelta(hours=-1))

    def access(**login: Any) -> Access:
        return Access.from_url(cluster.url, security=options(Kafka(**login), OPERATOR), answer=3.0)

    with by_certificate(tmp_path, authority, authority.certificate("broker")) as cluster:
        with Operator(access(ca=authority.file, certificate=ours)) as operator:
            assert operator.absent([FACTS]) == [FACTS]  # it may not see it either
        with pytest.raises(Misconfigured, match=r"kafka\.certificate: .*old\.pem expired on 20"):
            access(ca=authority.file, certificate=old)
        with pytest.raises(Misconfigured, match=r"refused us: .*bad certificate"):
            Operator(access(ca=authority.file)).__enter__()


def test_a_brokers_expired_certificate_is_said_at_the_start(authority: Authority) -> None:
    """Kafka does not start with one; this stands for a broker whose certificate ran out while it ran."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate("late", timedelta(hours=-1)))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    taken, _ = listening.accept()
                    with suppress(OSError), taken:
                        context.wrap_socket(taken, server_side=True, do_handshake_on_connect=True).close()

        threading.Thread(target=greet, daemon=True).start()
        security = options(Kafka(ca=authority.file), "review")
        with pytest.raises(Misconfigured, match=r"refused us: .*certificate has expired"):
            Operator(Access((f"127.0.0.1:{listening.getsockname()[1]}",), security=security, answer=3.0)).__enter__()
        listening.shutdown(socket.SHUT_RDWR)


def test_a_room_that_is_refused_ends_with_one_line_and_the_operators_commands_work(
    guarded: Cluster, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "operator.secret").write_text(f"of {OPERATOR}\n")
    login = {"ca": str(authority.file), "mechanism": "SCRAM-SHA-256", "password_file": str(tmp_path / "{room}.secret")}
    file = tmp_path / "overread.yaml"
    settings = {"data": str(tmp_path / "data"), "bus_url": guarded.url, "health_port": 0, "review": {"port": 0}}
    file.write_text(json.dumps({**settings, "kafka": login}))

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "overread", "--config", str(file), *words]
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)

    for words in (("topics", "check"), ("status", "--json"), ("dlq", "list"), ("replay", "--verify")):
        assert run(*words).returncode == 0, words
    for environment, reason in (
        ({"OVERREAD_KAFKA__PASSWORD": "a wrong secret"}, "refused us"),
        ({"OVERREAD_KAFKA__USER": "overread-inference", "OVERREAD_KAFKA__PASSWORD": "of inference"}, "lacks the right"),
    ):
        ended = run("run", "review", **environment)
        assert ended.returncode == 2
        assert reason in ended.stderr.splitlines()[-1]
        assert environment["OVERREAD_KAFKA__PASSWORD"] not in ended.stdout + ended.stderr
