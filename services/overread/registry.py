"""MLflow: versions, aliases, files. It is a shelf; which version may serve is decided in SQL by the rollout room.

A version's files are `model.onnx`, and `weights.pt` where it can be trained on. Artifacts and tags are mutable in
MLflow, so the SHA-256 travels in our own events and is checked against the bytes before every load.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a hospital's registry calls nobody
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")  # nor does it write lines of its own beside our log

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from overread.core.errors import RegistryUnavailable

log = logging.getLogger(__name__)

CHAMPION = "champion"
MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "weights.pt"
IDENTITY = "overread.identity"
"""Tag that makes a registration idempotent: the same round of the same labels is registered once."""


@dataclass(frozen=True)
class Version:
    """A registered model."""

    name: str
    version: int
    tags: Mapping[str, str]


class Registry:
    """One registered model name in one MLflow.

    Args:
        url: `sqlite:///…` or a server's.
        artifacts: where files go when the registry is a database of ours; a server knows its own place.
        name: the registered model.
    """

    def __init__(self, url: str, artifacts: Path | None, name: str) -> None:
        self.url, self.name = url, name
        self._artifacts = artifacts if url.startswith("sqlite:") else None
        self._connected: MlflowClient | None = None

    @property
    def _client(self) -> MlflowClient:
        if self._connected is None:
            self._connected = MlflowClient(tracking_uri=self.url, registry_uri=self.url)
        return self._connected

    def prepare(self) -> None:
        """Create what is missing (schema, experiment, registered model); say whether the registry answers.

        Raises:
            RegistryUnavailable: it does not.
        """
        with _translated(self.url):
            if self._client.get_experiment_by_name(self.name) is None:
                location = self._artifacts.as_uri() if self._artifacts else None
                self._client.create_experiment(self.name, artifact_location=location)
            if not self._client.search_registered_models(filter_string=f"name='{self.name}'"):
                self._client.create_registered_model(self.name)

    def register(
        self,
        identity: str,
        *,
        model: bytes,
        weights: bytes | None,
        tags: Mapping[str, str],
        parameters: Mapping[str, object],
        metrics: Mapping[str, float],
    ) -> tuple[int, str]:
        """Put a version on the shelf; return its number and the SHA-256 of its model.

        The same `identity` again returns the first registration, whatever bytes are offered now.
        """
        with _translated(self.url):
            # Compared here: a filter has no way to quote what a file's name may hold.
            found = [int(row.version) for row in self._rows() if row.tags.get(IDENTITY) == identity]
            if found:
                version = min(found)
                return version, hashlib.sha256(self.fetch(version) or b"").hexdigest()
            experiment = self._client.get_experiment_by_name(self.name)
            run = self._client.create_run(experiment.experiment_id, run_name=identity)
            run_id = run.info.run_id
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / MODEL_FILE).write_bytes(model)
                if weights is not None:
                    (Path(folder) / WEIGHTS_FILE).write_bytes(weights)
                self._client.log_artifacts(run_id, folder)
            for name, parameter in parameters.items():
                self._client.log_param(run_id, name, parameter)
            for name, value in metrics.items():
                self._client.log_metric(run_id, name, value)
            self._client.set_terminated(run_id)
            version = self._client.create_model_version(
                self.name, run.info.artifact_uri, run_id=run_id, tags={**tags, IDENTITY: identity}
            )
            return int(version.version), hashlib.sha256(model).hexdigest()

    def fetch(self, version: int, file: str = MODEL_FILE) -> bytes | None:
        """Return a version's file, None where the version has none of that name."""
        with _translated(self.url):
            run_id = self._client.get_model_version(self.name, str(version)).run_id
            if file not in {artifact.path for artifact in self._client.list_artifacts(run_id)}:
                return None
            with tempfile.TemporaryDirectory() as folder:
                return Path(self._client.download_artifacts(run_id, file, folder)).read_bytes()

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        with _translated(self.url):
            rows = [Version(self.name, int(row.version), dict(row.tags)) for row in self._rows()]
        return sorted(rows, key=lambda row: -row.version)

    def _rows(self) -> Iterator[ModelVersion]:
        """Return all versions, page by page."""
        token = None
        while True:
            page = self._client.search_model_versions(f"name='{self.name}'", page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def champion(self) -> int | None:
        """Return the version that the alias names, None where there is no alias."""
        with _translated(self.url):
            models = self._client.search_registered_models(filter_string=f"name='{self.name}'")
            if not models:
                return None
            alias = self._client.get_registered_model(self.name).aliases.get(CHAMPION)
            return None if alias is None else int(alias)

    def set_champion(self, version: int) -> None:
        """Point the alias at a version."""
        with _translated(self.url):
            self._client.set_registered_model_alias(self.name, CHAMPION, str(version))


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """MLflow's errors as ours: whatever it is, the same call may succeed when the registry is well again."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        place = url.rpartition("@")[2]  # a password stays out of the message
        code = getattr(error, "error_code", type(error).__name__)
        raise RegistryUnavailable(
            f"MLflow at {place}: {code}; check that it runs and that registry_url is right"
        ) from error
