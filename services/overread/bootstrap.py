"""The only place where adapters meet rooms: settings in, a room that can work out.

Each builder is the constructor's side of `topology.LINE`. Rooms are imported inside their builder: a process loads what
its own room needs, and only `trainer.round` loads torch.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from overread.bus.embedded import EmbeddedBus
from overread.config import Settings
from overread.core.clock import Clock, utc_now
from overread.core.errors import Misconfigured
from overread.core.pseudonyms import Pseudonyms
from overread.core.splits import SplitPolicy
from overread.pacs.slices import Slices
from overread.pacs.views import Views
from overread.store.blobs import Blobs
from overread.store.engine import Store
from overread.store.leases import Lease
from overread.store.migrations import upgrade
from overread.topology import ROOMS, TOPICS
from overread.worker import Duty, Handler, Worker
from overread_learn import applications
from overread_learn.applications import Application

if TYPE_CHECKING:
    from overread.registry import Registry

log = logging.getLogger(__name__)

TABLES = ("gateway", "candidates", "inference", "review", "trainer", "rollout")


def declare_tables() -> None:
    """Import every room's tables, so that the metadata is whole."""
    for room in TABLES:
        importlib.import_module(f"overread.{room}.tables")


class Service(Protocol):
    """Something of a room that listens: started before the worker, closed after it."""

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        ...

    def start(self) -> None:
        """Bind and listen."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@dataclass(frozen=True)
class Room:
    """A room that can work."""

    name: str
    handlers: Sequence[Handler] = ()
    duties: Sequence[Duty] = ()
    services: Sequence[Service] = ()
    ready: Callable[[], str | None] = field(default=lambda: None)


class House:
    """What rooms share: store, bus, blobs, registry, key. Opening it migrates the database.

    Raises:
        Misconfigured: a setting can't work.
        StoreUnavailable: the database can't be opened.
    """

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        self.settings, self.clock = settings, clock
        try:
            settings.data.mkdir(parents=True, exist_ok=True)
            self.pseudonyms = Pseudonyms.from_file(settings.data / "pseudonyms.key")
        except OSError as error:
            raise Misconfigured(f"data: {settings.data} can't be used ({error.strerror}); set --data") from error
        self.store = Store(settings.store_url)
        declare_tables()
        upgrade(self.store)
        self.bus = EmbeddedBus(self.store, {name: topic.partitions for name, topic in TOPICS.items()})
        self.blobs = Blobs(settings.blobs_url, reserve=settings.blobs_reserve_mb << 20)
        self.slices = Slices(self.blobs)

    @cached_property
    def application(self) -> Application:
        """The CAD application of this house."""
        try:
            return applications.load(self.settings.application)
        except (ValueError, OSError) as error:
            raise Misconfigured(f"application: {error}") from error

    @cached_property
    def registry(self) -> Registry:
        """MLflow, with the model of this application. Imported when it is asked for: four rooms never do."""
        from overread.registry import Registry

        return Registry(self.settings.registry_url, self.settings.data / "models", f"overread-{self.application.name}")

    def worker(self, room: Room) -> Worker:
        """The loop that runs a room."""
        return Worker(
            room.name,
            store=self.store,
            bus=self.bus,
            outbox=self.bus.append,
            handlers=room.handlers,
            duties=room.duties,
        )

    def close(self) -> None:
        """Close the database."""
        self.store.close()


def build(house: House, name: str) -> Room:
    """Build a room by its name in the topology.

    Raises:
        Misconfigured: there is no such room, or it can't be built here.
    """
    if name not in _BUILDERS:
        raise Misconfigured(f"there is no room {name!r}; the rooms are {', '.join(ROOMS)}")
    return _BUILDERS[name](house)


def _gateway(house: House) -> Room:
    from overread.gateway.admission import Admission
    from overread.gateway.association import StorageScp
    from overread.gateway.patients import CloseLockedSet

    settings = house.settings
    given = {house.pseudonyms.patient(patient): split for patient, split in settings.given_splits().items()}
    admission = Admission(
        house.store,
        house.bus.append,
        house.blobs,
        house.pseudonyms,
        SplitPolicy(settings.validation_share, settings.locked_share, given),
        maximum_bytes=settings.gateway.maximum_instance_mb << 20,
        clock=house.clock,
    )
    return Room("gateway", (CloseLockedSet(),), services=(StorageScp(admission, settings.gateway),))


def _candidates(house: House) -> Room:
    from overread.candidates.studies import Collect, Forget, Settle

    settings = house.settings
    settle = Settle(
        store=house.store,
        blobs=house.blobs,
        slices=house.slices,
        pseudonyms=house.pseudonyms,
        settings=settings.candidates,
        gateway=settings.gateway,
        application=house.application.name,
        clock=house.clock,
    )
    return Room("candidates", (Collect(house.clock), Forget()), (settle,))


def _inference(house: House) -> Room:
    from overread.inference.score import Forget, MarkRead, Rescore, Score, Scoring
    from overread.inference.swap import Champion, Nudge, Swap
    from overread_learn.scoring import NotAModel, Scorer

    settings = house.settings.inference
    application = house.application
    if settings.model is not None:
        try:
            application = Scorer(settings.model).application
        except (NotAModel, OSError) as error:
            raise Misconfigured(f"inference.model: {settings.model}: {error}") from error
    champion = Champion(settings, application)
    scoring = Scoring(Views(house.slices, application), champion)
    duties: list[Duty] = [Rescore(house.store, scoring)]
    if settings.model is not None:
        champion.load(settings.model, version=0, cleared=False)
    else:
        duties.insert(0, Swap(house.store, house.registry, champion, settings))
    return Room(
        "inference",
        (Score(scoring), MarkRead(), Nudge(), Forget()),
        duties,
        ready=lambda: None if champion.serving else champion.refused or "no model serves yet",
    )


def _selection(house: House) -> Room:
    from overread.trainer.pool import Admit, Forget, Learn, Rate
    from overread.trainer.selection import Select
    from overread.trainer.versions import Promote, Register, Reject
    from overread_learn.acquisition import strategy

    settings = house.settings.trainer
    try:
        strategy(settings.strategy)
    except ValueError as error:
        raise Misconfigured(f"trainer.strategy: {error}") from error
    select = Select(
        house.store,
        settings,
        patches=house.application.patches,
        share=house.pseudonyms.share,
        clock=house.clock,
    )
    handlers = (Admit(), Rate(), Learn(), Register(), Promote(), Reject(), Forget())
    return Room("trainer.selection", handlers, (select,))


def _review(house: House) -> Room:
    from overread.review.routes import create_app
    from overread.review.server import ReviewServer
    from overread.review.verdicts import Judge
    from overread.review.worklist import Ask, Forget, List, Show

    settings = house.settings.review
    app = create_app(house.store, house.bus.append, house.slices, settings, house.clock)
    server = ReviewServer(app, settings.host, settings.port)
    return Room("review", (List(), Show(), Ask(), Judge(house.slices), Forget()), services=(server,))


def _round(house: House) -> Room:
    try:
        from overread.trainer.round import Round
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"trainer.round needs {error.name}, which the base installation leaves out: pip install 'overread[train]'"
        ) from error
    holder = f"{socket.gethostname()}-{os.getpid()}"
    duty = Round(
        house.store,
        house.registry,
        Views(house.slices, house.application),
        house.settings.trainer,
        Lease(house.store, "trainer.round", holder),
        house.clock,
        checkpoints=house.settings.data / "rounds",
    )
    return Room("trainer.round", duties=(duty,))


def _rollout(house: House) -> Room:
    from overread.rollout.evidence import Examiner
    from overread.rollout.gates import load
    from overread.rollout.locked import Forget, Seal, Truth
    from overread.rollout.stages import Advance, Heal, Register

    settings = house.settings
    protocol, sha256 = load(settings.rollout.protocol)
    examiner = Examiner(
        house.registry,
        Views(house.slices, house.application),
        providers=settings.inference.providers,
        threads=settings.inference.threads,
    )
    advance = Advance(house.store, house.registry, examiner, protocol, sha256, house.clock)
    duties = (advance, Heal(house.store, house.registry))
    return Room("rollout", (Seal(), Truth(), Register(), Forget()), duties)


_BUILDERS: dict[str, Callable[[House], Room]] = {
    "gateway": _gateway,
    "candidates": _candidates,
    "inference": _inference,
    "trainer.selection": _selection,
    "review": _review,
    "trainer.round": _round,
    "rollout": _rollout,
}


def room_file(data: Path, name: str) -> Path:
    """Where a running room says its process and ports."""
    return data / "run" / f"{name}.json"
