"""The fence around unit tests holds, and what stands inside it works."""

from __future__ import annotations

import asyncio
import socket

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pytest_socket import SocketBlockedError, SocketConnectBlockedError

import parts


@pytest.mark.filterwarnings("ignore:A test tried to use")
def test_a_unit_test_reaches_no_network() -> None:
    with pytest.raises(SocketBlockedError):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(SocketBlockedError):
        socket.getaddrinfo("example.org", 80)


def test_the_web_app_and_asyncio_work_without_it() -> None:
    app = FastAPI()

    @app.get("/")
    def index() -> dict[str, str]:
        return {"it": "works"}

    with TestClient(app) as client:
        assert client.get("/").json() == {"it": "works"}
    asyncio.run(asyncio.sleep(0))


@pytest.mark.network
@pytest.mark.filterwarnings("ignore:A test tried to use")
def test_a_network_test_reaches_this_machine_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    with pytest.raises(SocketConnectBlockedError), socket.socket() as client:
        client.connect(("192.0.2.1", 80))


def test_a_part_that_is_absent_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.shutil, "which", lambda command: None if command == "storescu" else f"/usr/bin/{command}")
    assert parts.absent("dcmtk") == "dcmtk is not installed (storescu not found); `make parts` installs it"
    assert parts.absent("chromium") is None
