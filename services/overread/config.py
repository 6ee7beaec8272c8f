# long because: every setting of the house stands in one file
"""Settings: by flag, by environment, by file, in this order.

`--set gateway.port=104`, `OVERREAD_GATEWAY__PORT=104`, or `gateway: {port: 104}` in `--config FILE` (default:
`overread.yaml` in the data directory).
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from overread.core.errors import Misconfigured
from overread.core.splits import Split

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class SourcePolicy(StrEnum):
    """Where a peer's candidates come from."""

    SR = "sr"
    GENERATOR = "generator"
    AUTO = "auto"
    """The generator, but only for studies that have no SR when they settle."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Gateway(_Section):
    """DICOM in."""

    ae_title: str = Field("OVERREAD", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(11112, ge=0, le=65535)
    peers: dict[str, SourcePolicy] = Field(default_factory=dict)
    """AE titles that may send, each with its candidate source. Empty: anybody may, with `default_source`."""
    default_source: SourcePolicy = SourcePolicy.AUTO
    maximum_associations: int = Field(25, ge=1)
    maximum_instance_mb: int = Field(2048, ge=1)


class Candidates(_Section):
    """From a complete study to suspicious locations."""

    settle_seconds: float = Field(10.0, ge=0)
    """A study is complete when nothing arrived for this long."""
    generator: str = "log"
    """Name of an entry point in the group `overread.generators`."""


class Inference(_Section):
    """Scoring."""

    model: Path | None = None
    """Serve this file, and look at no registry."""
    providers: list[str] | None = None
    """ONNX Runtime execution providers in order of preference, such as CUDAExecutionProvider; None: the CPU."""
    strict_provider: bool = False
    """Refuse to serve where the first provider is not the one that runs."""
    threads: int = Field(1, ge=1)
    poll_seconds: float = Field(15.0, gt=0)
    """How often the registry is asked, behind the bus's nudge."""


class Review(_Section):
    """The reader's page and the REST API."""

    host: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535)
    reader: str = "reader"
    """Who reads, where the request does not say."""

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        if host not in LOOPBACK:
            raise ValueError(f"{host} is refused: there is no sign-in yet, so the page is bound to 127.0.0.1 only")
        return host


class Trainer(_Section):
    """Selection and rounds."""

    strategy: str = "auto"
    budget: int = Field(50, ge=1)
    """Candidates asked for in a round."""
    audit: int = Field(2, ge=0)
    """Random reads beside each round's."""
    least_labels: int = Field(20, ge=2)
    """Labels of train patients before the first round."""
    arch: str = "squeezenet1_1"
    """Torchvision's name. A random start takes another one (trainer/recipe.py)."""
    weights: Path | None = None
    """ImageNet weights by file; without it they are downloaded, and failing that the start is random and says so."""
    epochs: int | None = Field(None, ge=1)
    """Instead of the application's own number."""
    interpolate: bool = True
    """Take the weights between the champion's and the new ones that rank validation patients best (WiSE-FT)."""
    training: str = "ACFT(LQ)"
    """On which labels a round trains, and from which network: a row of ACFT's Table 2, or `rehearsal`."""
    rates: Literal["own", "papers"] = "own"
    """The application's own learning rates, or those of AIFT's Table 3, by phase (`[phases.first]` and so on)."""
    depth: Annotated[int, Field(ge=1)] | Literal["all", "search"] = "all"
    """How many blocks of the network a round trains, counted from the head; `search` tries them all and takes the
    shallowest within one standard error of the best, again when the labels have doubled."""
    drift_every: int = Field(5, ge=0)
    """After so many rounds M0 is trained on all labels too, to see whether small steps have drifted; 0: never."""
    drift_margin: float = Field(0.01, ge=0, le=1)
    """Validation AUC by which that restart must be better to take the challenger's place."""
    recalibrate: bool = True
    """Fit a temperature on validation patients, so that a probability means the same from version to version."""
    threads: int = Field(max(1, (os.cpu_count() or 2) // 2), ge=1)
    """Half the cores: the other rooms go on meanwhile, and OpenMP on a core that is taken costs many times more."""
    seed: int = Field(0, ge=0)
    most_rounds: int | None = Field(None, ge=1)
    """Stop asking after so many; None: as long as the pool lasts."""


class Rollout(_Section):
    """The gates."""

    protocol: Path | None = None
    """A protocol YAML; None: the one that comes with Overread."""


class Kafka(_Section):
    """Who we are to a cluster (`bus/kafka_login.py`). `{room}` in a user or a file stands for the room's name."""

    tls: bool = False
    """Encrypt; `ca` and `certificate` say so too."""
    ca: Path | None = None
    """PEM of the authorities that may have signed the brokers' certificates; None: the system's."""
    certificate: Path | None = None
    """PEM of our own, for mTLS, such as /etc/overread/{room}.pem."""
    key: Path | None = None
    """PEM of its private key, where that stands in another file."""
    mechanism: Literal["", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = ""
    """SASL's."""
    user: str = "overread-{room}"
    """Commands log in as overread-operator."""
    password: SecretStr = SecretStr("")
    """Best by environment: OVERREAD_KAFKA__PASSWORD."""
    password_file: Path | None = None
    """Or by a file, such as /run/secrets/kafka-{room}."""
    member: str = ""
    """This process's name in its room's group, the same after a crash; empty: the host's. Of several processes of one
    room on one host each needs its own."""


class Tracing(_Section):
    """OpenTelemetry (`tracing.py`)."""

    exporter: Literal["", "console", "otlp"] = ""
    """Empty: off. `console` writes spans to standard output."""
    endpoint: str = ""
    """Of the collector, such as http://127.0.0.1:4318/v1/traces; empty: as OTEL_EXPORTER_OTLP_* say."""
    share: float = Field(1.0, ge=0, le=1)
    """Of the studies whose traces are recorded."""


class Settings(BaseSettings):
    """All of it. Unknown names are errors: a misspelt setting that is silently ignored is worse than none."""

    model_config = SettingsConfigDict(env_prefix="OVERREAD_", env_nested_delimiter="__", extra="forbid", frozen=True)

    data: Path = Path("overread-data")
    """One folder for everything on one machine."""
    application: str = "lung-nodule"
    """Name or file of the CAD application."""
    splits: Path | None = None
    """CSV `patient_id,split`: patients whose part is given. The others are split by keyed hash."""
    validation_share: float = 0.15
    locked_share: float = 0.25
    store_url: str = ""
    """Default: SQLite in the data directory. `postgresql://user@host/database` takes its password from PGPASSWORD."""
    bus_url: str = ""
    """Default: embedded in the database. `kafka://host:port[,host:port]` is a cluster."""
    blobs_url: str = ""
    """Default: a folder in the data directory."""
    blobs_reserve_mb: int = Field(512, ge=0)
    """Free disk space below which instances are refused (0xA700)."""
    registry_url: str = ""
    """MLflow; default: SQLite in the data directory."""
    health_host: str = "127.0.0.1"
    health_port: int = Field(9110, ge=0, le=65500)
    """The first room's; the others count up from it. 0: free ones."""
    log_level: str = "info"
    kafka: Kafka = Kafka()
    tracing: Tracing = Tracing()
    gateway: Gateway = Gateway()
    candidates: Candidates = Candidates()
    inference: Inference = Inference()
    review: Review = Review()
    trainer: Trainer = Trainer()
    rollout: Rollout = Rollout()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

    def given_splits(self) -> dict[str, Split]:
        """PatientID → split, from the `splits` file.

        Raises:
            Misconfigured: the file is absent, a row names no split, or a patient has two. A row is named by its line:
                what stands in it may be a patient's number.
        """
        if self.splits is None:
            return {}
        given: dict[str, Split] = {}
        try:
            with self.splits.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet begins with a mark
                rows = csv.DictReader(file)
                if not {"patient_id", "split"} <= set(rows.fieldnames or ()):
                    raise Misconfigured(f"splits: {self.splits}: it needs the columns patient_id,split")
                for row in rows:
                    patient, split = (row["patient_id"] or "").strip(), row["split"]
                    if not patient or split not in set(Split) or given.setdefault(patient, Split(split)) != split:
                        raise Misconfigured(
                            f"splits: {self.splits}: line {rows.line_num}: each patient_id,split needs a patient, "
                            f"one of {', '.join(Split)}, and no other one elsewhere"
                        )
        except (OSError, ValueError, csv.Error) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Misconfigured(f"splits: {self.splits}: {why}; it needs the columns patient_id,split") from error
        return given


NO_SETTINGS = frozenset({"config", "supervisor", "shared"})
"""Names in the environment that are ours and no settings: see `load`, `overread up`, and the tests' reference data."""
_SERVICE = re.compile(r".*_(service_host|service_port(_.*)?|port(_\d+_(tcp|udp|sctp)(_.*)?)?)")


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Sections are checked by pydantic; a name that is no section's and no setting's it would not even look at.

    Kubernetes puts the addresses of services into every pod (`OVERREAD_GATEWAY_PORT=tcp://…`): nobody's fault.
    """
    for name, value in environment.items():
        key = name.lower().removeprefix("overread_")
        if key == name.lower() or key in NO_SETTINGS or key.split("__")[0] in Settings.model_fields:
            continue
        if _SERVICE.fullmatch(key) and (not key.endswith("_port") or "service" in key or "://" in value):
            continue
        raise Misconfigured(f"{name}: there is no such setting; a section and its field are joined by two underscores")


def load(config: Path | None = None, **flags: Any) -> Settings:
    """Read the settings; flags that are None were not given, `gateway__port=104` sets a section's field.

    Raises:
        Misconfigured: with one line for each setting that can't work.
    """
    given: dict[str, Any] = {}
    for name, value in flags.items():
        if value is not None:
            section, _, field = name.rpartition("__")
            (given.setdefault(section, {}) if section else given)[field] = value
    file = config or (Path(os.environ["OVERREAD_CONFIG"]) if "OVERREAD_CONFIG" in os.environ else None)
    if file is None:
        found = Path(given.get("data", os.environ.get("OVERREAD_DATA", "overread-data"))) / "overread.yaml"
        file = found if found.exists() else None
    elif not file.is_file():
        raise Misconfigured(f"config: {file}: there is no such file")

    _refuse_unknown(os.environ)

    class WithFile(Settings):
        model_config = SettingsConfigDict(yaml_file=file)

    try:
        settings: Settings = WithFile(**given)
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise Misconfigured(f"these settings can't work:\n{faults}") from error
    except (yaml.YAMLError, SettingsError, OSError, TypeError, ValueError) as error:
        raise Misconfigured(f"{file or 'environment'}: {error}") from error
    data = settings.data.resolve()
    return settings.model_copy(
        update={
            "data": data,
            "store_url": settings.store_url or f"sqlite:///{data}/overread.db",
            "blobs_url": settings.blobs_url or str(data / "blobs"),
            "registry_url": settings.registry_url or f"sqlite:///{data}/mlflow.db",
        }
    )
