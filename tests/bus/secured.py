"""A broker that lets in whom it knows: by SASL_SSL with SCRAM, or by a certificate (mTLS)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from certificates import Authority
from overread.bus.kafka_login import options
from overread.config import Kafka
from overread.simulation.broker import Cluster

ADMIN = "admin"
PASSWORD = "of the admin"  # noqa: S105 - of a broker that lives for one test
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


def by_password(folder: Path, authority: Authority, certificate: Path) -> Cluster:
    """Return a cluster that wants TLS and a password, and grants nothing to those whom no ACL names."""
    jaas = f'{_SCRAM} required username="{ADMIN}" password="{PASSWORD}";'
    lines = {
        **_listener("SASL_SSL", authority, certificate),
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-256",
        "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.client.scram-sha-256.sasl.jaas.config": jaas,
        "super.users": f"User:{ADMIN};User:CN=broker",
    }
    client = options(admin(authority), "")
    return Cluster(folder, settings=lines, users={ADMIN: PASSWORD}, client=client)


def by_certificate(folder: Path, authority: Authority, certificate: Path) -> Cluster:
    """Return a cluster that wants to see a certificate of its authority's."""
    lines = {
        **_listener("SSL", authority, certificate),
        "listener.name.client.ssl.client.auth": "required",
        "super.users": "User:CN=broker;User:CN=operator",
    }
    return Cluster(folder, settings=lines, client=options(Kafka(ca=authority.file, certificate=certificate), ""))


def admin(authority: Authority) -> Kafka:
    """Return who may do everything where a password is asked for."""
    return Kafka(ca=authority.file, mechanism="SCRAM-SHA-256", user=ADMIN, password=PASSWORD)


def client_file(authority: Authority) -> str:
    """Return what Kafka's own tools log in with as the admin."""
    return f"""security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-256
sasl.jaas.config={_SCRAM} required username="{ADMIN}" password="{PASSWORD}";
ssl.truststore.type=PEM
ssl.truststore.location={authority.file}
"""


def _listener(protocol: str, authority: Authority, certificate: Path) -> Mapping[str, str]:
    return {
        "listeners": "CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": "CLIENT://127.0.0.1:{port}",
        "listener.security.protocol.map": f"CLIENT:{protocol},CONTROLLER:SSL",
        "inter.broker.listener.name": "CLIENT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.controller.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
    }
