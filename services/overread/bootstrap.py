"""The only place where adapters meet rooms: a house in, a room that can work out.

Each builder is the constructor's side of `topology.LINE`. Rooms are imported inside their builder: a process loads what
its own room needs, and only `trainer.round` loads torch.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from overread.core.errors import Misconfigured
from overread.core.splits import SplitPolicy
from overread.handler import Duty
from overread.house import House, Room, unserved
from overread.pacs.views import Views
from overread.store.leases import Lease
from overread.topology import ROOMS


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
        house.outbox,
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
    from overread.trainer.strategies import keeps_away
    from overread_learn.scoring import NotAModel, Scorer

    settings = house.settings.inference
    application = house.application
    if settings.model is not None:
        try:
            application = Scorer(settings.model).application
        except (NotAModel, OSError) as error:
            raise Misconfigured(f"inference.model: {settings.model}: {error}") from error
        if reason := unserved(application):
            raise Misconfigured(f"inference.model: {settings.model}: {reason}")
    champion = Champion(settings, application)
    scoring = Scoring(Views(house.slices, application), champion)
    duties: list[Duty] = [Rescore(house.store, scoring, labelled=keeps_away(house.settings.trainer))]
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

    select = Select(
        house.store,
        house.settings.trainer,
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
    app = create_app(house.store, house.outbox, house.slices, settings, house.clock)
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
    lease = Lease(house.store, "trainer.round", holder)
    duty = Round(
        house.store,
        house.registry,
        Views(house.slices, house.application),
        house.settings.trainer,
        lease,
        house.clock,
        checkpoints=house.settings.data / "rounds",
    )
    return Room("trainer.round", duties=(duty,), give_back=lease.give_back)


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


def _relay(house: House) -> Room:
    from overread.bus.relay import Prune, Relay

    if not house.settings.bus_url:
        raise Misconfigured("relay: the embedded bus has no relay, since the outbox is its log; set bus_url")
    holder = f"{socket.gethostname()}-{os.getpid()}"
    relay = Relay(house.store, house.bus, holder)
    duties = (relay, Prune(house.store, clock=house.clock))
    return Room("relay", duties=duties, ready=lambda: relay.trouble, give_back=relay.close)


_BUILDERS: dict[str, Callable[[House], Room]] = {
    "gateway": _gateway,
    "candidates": _candidates,
    "inference": _inference,
    "trainer.selection": _selection,
    "review": _review,
    "trainer.round": _round,
    "rollout": _rollout,
    "relay": _relay,
}
