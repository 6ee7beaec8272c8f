"""The registry is a shelf: what is put there comes back, once; a server that is away is said without its password."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from overread.core.errors import RegistryUnavailable
from overread.registry import WEIGHTS_FILE, Registry
from registry.shelf import model_file


def put(registry: Registry, identity: str, model: bytes = b"model", weights: bytes | None = b"weights") -> Any:
    return registry.register(
        identity,
        model=model,
        weights=weights,
        tags={"kind": "round", "parent": "1"},
        parameters={"arch": "squeezenet1_1"},
        metrics={"auc_validation": 0.9},
    )


def test_a_version_comes_back_as_it_was_put_there(registry: Registry) -> None:
    version, digest = put(registry, "one")
    assert (version, digest) == (1, hashlib.sha256(b"model").hexdigest())
    assert registry.fetch(1) == b"model"
    assert registry.fetch(1, WEIGHTS_FILE) == b"weights"
    assert registry.fetch(1, "absent.txt") is None
    (found,) = registry.versions()
    assert (found.version, found.tags["kind"], found.tags["parent"]) == (1, "round", "1")


def test_a_version_without_weights_has_none(registry: Registry) -> None:
    put(registry, "imported", weights=None)
    assert registry.fetch(1, WEIGHTS_FILE) is None


@pytest.mark.parametrize("identity", ["round-3", "bootstrap-squeezenet1_1-file:bob's weights.pth-0", "a%b_c"])
def test_the_same_identity_again_is_the_first_registration_whatever_bytes_come_now(
    registry: Registry, identity: str
) -> None:
    put(registry, "something else", b"other")
    first = put(registry, identity)
    assert put(registry, identity, b"other bytes") == first
    assert registry.fetch(first[0]) == b"model"
    assert [row.version for row in registry.versions()] == [2, 1]


def test_the_digest_of_a_found_registration_is_that_of_the_bytes_that_lie_there(
    registry: Registry, tmp_path: Path
) -> None:
    put(registry, "one")
    model_file(tmp_path, 1).write_bytes(b"somebody else's")
    assert put(registry, "one") == (1, hashlib.sha256(b"somebody else's").hexdigest())


def test_the_alias_is_where_it_was_put(registry: Registry) -> None:
    assert registry.champion() is None
    put(registry, "one")
    put(registry, "two", b"other")
    registry.set_champion(1)
    registry.set_champion(2)
    assert registry.champion() == 2


def test_preparing_again_changes_nothing(registry: Registry) -> None:
    put(registry, "one")
    registry.prepare()
    assert [row.version for row in registry.versions()] == [1]


def test_an_empty_registry_has_no_champion_and_no_versions(template: Path, tmp_path: Path) -> None:
    (tmp_path / "fresh.db").write_bytes(template.read_bytes())
    fresh = Registry(f"sqlite:///{tmp_path}/fresh.db", tmp_path, "overread-none")
    assert fresh.champion() is None
    assert fresh.versions() == []


def test_a_version_that_is_not_there_is_no_answer(registry: Registry) -> None:
    with pytest.raises(RegistryUnavailable, match="RESOURCE_DOES_NOT_EXIST"):
        registry.fetch(7)


def test_a_half_made_registration_is_made_again_whole(registry: Registry) -> None:
    """A crash before the version is created leaves a run behind, and no version."""
    client = registry._client
    run = client.create_run(client.get_experiment_by_name(registry.name).experiment_id, run_name="one")
    assert run.info.run_id
    assert put(registry, "one")[0] == 1
    assert registry.fetch(1) == b"model"


@pytest.mark.network
def test_a_server_that_is_away_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Registry("http://somebody:sesame@127.0.0.1:9/", None, "overread-x")
    for call in (away.prepare, away.versions, away.champion, lambda: away.fetch(1), lambda: away.set_champion(1)):
        with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9") as caught:
            call()
        assert "sesame" not in str(caught.value)
    assert "sesame" not in caplog.text


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_MAX_RETRIES", "1")
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(RegistryUnavailable):
        Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, "overread-x").prepare()
