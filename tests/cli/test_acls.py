"""`overread acls`: a URL is looked at before a line is made of it, and one user for all is not passed over."""

from __future__ import annotations

import pytest

from cli.said import Run


@pytest.mark.parametrize("more", [(), ("--commands",)], ids=["table", "commands"])
@pytest.mark.parametrize(
    "url", ["kafka://user:secret@kafka-1:9093", "http://secret", "kafka-1:9093", "kafka://secret:0"]
)
def test_a_url_that_names_no_broker_is_refused_and_not_repeated(overread: Run, url: str, more: tuple[str, ...]) -> None:
    said = overread("acls", *more, "--bus", url)
    assert (said.code, said.out) == (2, "")
    assert "bus_url" in said.err
    assert "secret" not in said.err


def test_without_a_cluster_the_lines_leave_it_open(overread: Run) -> None:
    said = overread("acls", "--commands")
    assert (said.code, said.err) == (0, "")
    assert all("--bootstrap-server HOST:PORT " in line for line in said.out.splitlines())


@pytest.mark.parametrize("more", ["--commands", "--json"])
def test_one_user_for_every_room_is_warned_of_beside_the_lines(overread: Run, more: str) -> None:
    said = overread("--set", "kafka.user=all", "acls", more)
    assert said.code == 0
    assert "kafka.user: it holds no {room}" in said.err
    assert "kafka.user" not in said.out
    assert overread("--set", "kafka.user=cad-{room}", "acls", more).err == ""
