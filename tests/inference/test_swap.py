"""What rollout promoted serves, if its bytes are those that were registered; else the one before it goes on."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from inference.pictures import APPLICATION, export
from inference.words import hear, promoted
from overread import config, metrics
from overread.core.errors import DigestMismatch, Misconfigured, RegistryUnavailable
from overread.inference.swap import Champion, Nudge, Swap
from overread.inference.tables import inference_models
from overread.registry import Registry
from overread.store.engine import Store
from registry.shelf import model_file


class Room:
    def __init__(self, store: Store, registry: Registry, **settings: Any) -> None:
        self.store, self.registry = store, registry
        chosen = config.Inference(**{"poll_seconds": 0.001, **settings})
        self.champion = Champion(chosen, APPLICATION)
        self.swap = Swap(store, registry, self.champion, chosen)

    def promote(self, version: int, content: bytes, *, cleared: bool = True) -> str:
        digest = hashlib.sha256(content).hexdigest()
        hear(self.store, Nudge(), promoted(version, digest, cleared=cleared))
        return digest

    def serves(self) -> tuple[int, str, bool] | None:
        serving = self.champion.serving
        return serving and (serving.version, serving.scorer.sha256, serving.cleared)


@pytest.fixture
def room(store: Store, registry: Registry, networks: tuple[bytes, bytes]) -> Room:
    for number, content in enumerate(networks):
        registry.register(f"v{number}", model=content, weights=None, tags={}, parameters={}, metrics={})
    return Room(store, registry)


def test_nothing_serves_before_a_promotion(room: Room) -> None:
    room.registry.set_champion(1)
    room.swap.prepare()
    assert room.serves() is None, "an alias alone loads nothing"


def test_a_promotion_swaps_and_the_metric_says_which_one_runs(room: Room, networks: tuple[bytes, bytes]) -> None:
    first = room.promote(1, networks[0], cleared=False)
    room.swap.prepare()
    assert room.serves() == (1, first, False)
    held = room.champion.serving
    second = room.promote(2, networks[1])
    room.swap.prepare()
    assert room.serves() == (2, second, True)
    assert held is not None
    size = APPLICATION.input_px
    assert held.scorer.logits(np.zeros((1, 3, size, size), np.float32)).shape == (1, 2), "work in flight keeps its own"
    samples = [sample.labels for metric in metrics.serving.collect() for sample in metric.samples if sample.value == 1]
    assert samples == [
        {
            "version": "2",
            "sha256": second,
            "provider": "CPUExecutionProvider",
            "precision": "fp32",
            "cleared": "true",
        }
    ]


def test_the_last_promotion_counts_after_a_roll_back_and_after_a_restart(
    room: Room, networks: tuple[bytes, bytes]
) -> None:
    room.promote(1, networks[0])
    room.promote(2, networks[1])
    first = room.promote(1, networks[0])
    restarted = Room(room.store, room.registry)
    restarted.swap.prepare()
    assert restarted.serves() == (1, first, True)


def test_the_same_bytes_promoted_as_another_version_serve_under_its_number(
    room: Room, networks: tuple[bytes, bytes]
) -> None:
    """Somebody imports the bootstrap's own file, and it is cleared."""
    digest = room.promote(1, networks[0], cleared=False)
    room.swap.prepare()
    again, _ = room.registry.register("again", model=networks[0], weights=None, tags={}, parameters={}, metrics={})
    room.promote(again, networks[0], cleared=True)
    room.swap.prepare()
    assert room.serves() == (again, digest, True)


def refusals(kind: str) -> float:
    return float(metrics.swaps_refused.labels(kind)._value.get())


def test_a_file_that_was_changed_on_the_shelf_is_refused_and_the_old_one_goes_on(
    room: Room, networks: tuple[bytes, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = room.promote(1, networks[0])
    room.swap.prepare()
    file = model_file(tmp_path, 2)
    assert file.read_bytes() == networks[1]
    file.write_bytes(networks[0])
    before = refusals("DigestMismatch")
    second = room.promote(2, networks[1])
    room.swap.prepare()
    assert room.serves() == (1, first, True)
    assert refusals("DigestMismatch") == before + 1
    assert "model not loaded" in caplog.text
    file.write_bytes(networks[1])  # somebody mends it
    room.swap._refused = ("", 0.0)  # and its pause is over
    room.swap.prepare()
    assert room.serves() == (2, second, True)


def test_a_file_that_is_gone_is_refused_and_a_refused_one_is_not_fetched_at_every_look(
    room: Room, networks: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = room.promote(1, networks[0])
    room.swap.prepare()
    model_file(tmp_path, 2).unlink()
    room.promote(2, networks[1])
    room.swap._settings = config.Inference(poll_seconds=60)
    before = refusals("DigestMismatch")
    fetched = []
    fetch = room.registry.fetch
    monkeypatch.setattr(room.registry, "fetch", lambda version: fetched.append(version) or fetch(version))
    for _ in range(3):
        room.swap.prepare()
    assert fetched == [2]
    assert refusals("DigestMismatch") == before + 1
    assert room.serves() == (1, first, True)


def test_a_registry_that_is_away_costs_the_serving_model_nothing(
    room: Room, networks: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """A duty that waits for the registry in place would keep every candidate of the room waiting too."""
    first = room.promote(1, networks[0])
    room.swap.prepare()
    database = tmp_path / "mlflow.db"
    room.registry._connected = None
    kept = room.registry.url
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    room.registry.url = f"sqlite:///{tmp_path}/broken.db"
    with pytest.raises(RegistryUnavailable):
        room.registry.champion()
    second = room.promote(2, networks[1])
    room.swap.prepare()
    assert room.serves() == (1, first, True)
    room.registry.url, room.registry._connected = kept, None
    assert database.exists()
    room.swap._refused = ("", 0.0)
    room.swap.prepare()
    assert room.serves() == (2, second, True)


def test_an_alias_that_was_moved_by_hand_is_said_and_loads_nothing(
    room: Room, networks: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    first = room.promote(1, networks[0])
    room.swap.prepare()
    room.registry.set_champion(2)
    room.swap.prepare()
    assert room.serves() == (1, first, True)
    assert "registry alias differs" in caplog.text


def test_every_promotion_is_noted_in_order(room: Room, networks: tuple[bytes, bytes]) -> None:
    for version in (1, 2, 1):
        room.promote(version, networks[version - 1])
    with room.store.reading() as tx:
        assert tx.execute(select(func.count()).select_from(inference_models)).scalar_one() == 3


def test_a_model_is_checked_before_it_serves(networks: tuple[bytes, bytes], tmp_path: Path) -> None:
    champion = Champion(config.Inference(), APPLICATION)
    with pytest.raises(DigestMismatch, match="version 4"):
        champion.load(networks[0], version=4, cleared=True, sha256="0" * 64)
    with pytest.raises(Misconfigured, match="version 4"):
        champion.load(b"garbage", version=4, cleared=True)
    with pytest.raises(Misconfigured, match="version 4"):
        champion.load(tmp_path / "absent.onnx", version=4, cleared=True)
    other = export(tmp_path, 1, application=replace(APPLICATION, context=20.0))
    with pytest.raises(Misconfigured, match="another way"):
        champion.load(other, version=4, cleared=True)
    assert champion.serving is None


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="here the GPU may really run")
def test_a_provider_that_does_not_run_is_refused_in_strict_mode(networks: tuple[bytes, bytes]) -> None:
    """ONNX Runtime offers CUDA on a machine without a GPU, and silently takes the CPU."""
    import onnxruntime  # noqa: PLC0415

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime offers no CUDA")
    asked = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    lenient = Champion(config.Inference(providers=asked), APPLICATION)
    assert lenient.load(networks[0], version=1, cleared=True).scorer.provider == "CPUExecutionProvider"
    strict = Champion(config.Inference(providers=asked, strict_provider=True), APPLICATION)
    with pytest.raises(Misconfigured, match="strict_provider"):
        strict.load(networks[0], version=1, cleared=True)
    assert strict.serving is None
