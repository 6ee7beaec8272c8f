"""What a login is made of, and what is said where a part of it is missing."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from overread.bus.kafka_login import options
from overread.config import Kafka
from overread.core.errors import Misconfigured


def test_without_settings_nothing_is_asked_for() -> None:
    assert options(Kafka(), "review") == {}


def test_each_room_has_its_own_name_password_and_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "hospital")
    authority.certificate("review")
    (tmp_path / "review.secret").write_text("of review\n")
    login = Kafka(
        ca=authority.file,
        certificate=tmp_path / "{room}.pem",
        mechanism="SCRAM-SHA-512",
        user="overread-{room}",
        password_file=tmp_path / "{room}.secret",
    )
    found = options(login, "review")
    assert isinstance(found.pop("ssl_context"), ssl.SSLContext)
    assert found == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "overread-review",
        "sasl_plain_password": "of review",
    }
    with pytest.raises(Misconfigured, match=r"gateway\.pem .*No such file"):
        options(login, "gateway")


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ({"mechanism": "PLAIN", "password": "x"}, "PLAIN shows the password"),
        ({"tls": True, "mechanism": "PLAIN", "user": "", "password": "x"}, "kafka.user: who are we"),
        ({"mechanism": "SCRAM-SHA-256"}, "OVERREAD_KAFKA__PASSWORD"),
        ({"mechanism": "SCRAM-SHA-256", "password_file": Path("absent")}, "absent: No such file"),
        ({"ca": Path("absent.pem")}, r"kafka\.ca: absent\.pem: No such file"),
        ({"certificate": Path("absent.pem")}, r"kafka\.certificate: absent\.pem with its key: No such file"),
    ],
)
def test_what_is_missing_is_named(login: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        options(Kafka(**{"user": "overread-{room}", **login}), "review")


def test_an_empty_secret_and_a_file_that_is_no_certificate_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(Misconfigured, match="empty is empty"):
        options(Kafka(mechanism="SCRAM-SHA-256", user="x", password_file=tmp_path / "empty"), "review")
    with pytest.raises(Misconfigured, match=r"kafka\.ca: .*empty: NO_CERTIFICATE_OR_CRL_FOUND"):
        options(Kafka(ca=tmp_path / "empty"), "review")


def test_a_password_is_in_no_representation() -> None:
    assert "secret" not in repr(Kafka(mechanism="SCRAM-SHA-256", user="x", password="secret"))  # noqa: S106 - nobody's


def test_tls_alone_and_scram_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert options(Kafka(tls=True), "review")["security_protocol"] == "SSL"
    found = options(Kafka(mechanism="SCRAM-SHA-256", user="x", password="y"), "review")  # noqa: S106 - nobody's
    assert found["security_protocol"] == "SASL_PLAINTEXT"
    assert "everybody on the wire can read the bus" in caplog.text
