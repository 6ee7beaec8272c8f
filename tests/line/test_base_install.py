"""The base installation scores, and holds no torch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from overread.simulation import phantoms
from overread_learn import applications
from overread_learn.export import export
from overread_learn.nets import build

pytestmark = pytest.mark.network

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with `pip install .` and nothing else."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([folder / "venv/bin/pip", "install", "-q", str(REPO)], check=True)
    return folder / "venv/bin"


def test_torch_is_not_in_the_base_installation(base: Path) -> None:
    answer = subprocess.run([base / "python", "-c", "import torch"], check=False, capture_output=True, text=True)
    assert answer.returncode != 0
    assert "ModuleNotFoundError" in answer.stderr


def test_the_round_says_what_to_install(base: Path, tmp_path: Path) -> None:
    command = [base / "overread", "--data", tmp_path / "house", "run", "trainer.round"]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 2
    assert "overread[train]" in answer.stderr


def test_a_model_file_scores_without_torch(base: Path, tmp_path: Path) -> None:
    application = applications.load("lung-nodule")
    model = tmp_path / "model.onnx"
    sha256 = export(build("squeezenet1_1", 2, None, 0), application, model, extra={})
    phantoms.generate(tmp_path / "studies", studies=1, seed=1, on_progress=lambda *_: None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = ["--data", str(tmp_path / "house"), "-s", f"gateway.port={port}", "-s", "health_port=0"]
    overread = [str(base / "overread"), *settings, "-s", "candidates.settle_seconds=1", "-s", "blobs_reserve_mb=1"]
    rooms = [
        subprocess.Popen([*overread, "run", *room], cwd=tmp_path)
        for room in (("gateway",), ("candidates",), ("inference", "--model", str(model)))
    ]
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        subprocess.run([*overread, "send", str(tmp_path / "studies")], check=True, cwd=tmp_path)
        facts = {}
        while time.monotonic() < deadline and not facts.get("inference", {}).get("scored"):
            time.sleep(1)
            answer = subprocess.run([*overread, "status", "--json"], check=True, capture_output=True, cwd=tmp_path)
            facts = json.loads(answer.stdout)
        assert facts["inference"]["scored"] > 0
        assert facts["serving"]["sha256"] == sha256
    finally:
        for room in rooms:
            os.kill(room.pid, signal.SIGTERM)
        for room in rooms:
            room.wait(30)
