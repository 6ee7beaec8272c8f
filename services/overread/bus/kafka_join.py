"""How a member joins: a join that ends while nobody waits for it is remembered, and a name that two share is found.

The first is a mend of kafka-python 3.0. A consumer waits for its join inside `poll`. Where the others of its group are
slow the join outlasts that call, and ends in the background. The next `poll` overlooks that it has ended and joins
again; if the leader does so the whole group begins anew, and so on for ever. Or what made it join, new metadata, has
passed, and it never looks: it is then no member, and believes that it is one. By private names, hence the pin below
3.1; `tests/contracts` fails without it.
"""

from __future__ import annotations

import time
from typing import Any

from kafka.coordinator.base import MemberState

from overread.core.errors import Misconfigured

FENCED, WITHIN = 3, 60.0
"""So often within so many seconds another takes our name before we end."""


def remember_joins(consumer: Any) -> None:
    """Give a consumer's coordinator the memory. Call it before the first `poll`.

    Where the generation has passed meanwhile the join is made again, as it should be.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    join, take = coordinator._do_join_and_sync_async, coordinator._on_join_complete_async  # noqa: SLF001
    ended: list[tuple[Any, bytes]] = []

    async def joined() -> bytes:
        coordinator.request_rejoin()  # until the join is taken, whatever the reason for it was
        if ended and ended[0][0] == coordinator._generation:  # noqa: SLF001
            return ended[0][1]
        assignment: bytes = await join()
        ended[:] = [(coordinator._generation, assignment)]  # noqa: SLF001
        return assignment

    async def taken(*arguments: Any) -> None:
        ended.clear()
        await take(*arguments)

    coordinator._do_join_and_sync_async, coordinator._on_join_complete_async = joined, taken  # noqa: SLF001


def has_joined(consumer: Any) -> bool:
    """Return whether the consumer is a member of its group as it stands, and not about to become one."""
    return bool(consumer.group_metadata().state is MemberState.STABLE)


def is_fenced(consumer: Any) -> bool:
    """Return whether another has our static member's name.

    The broker says so to a heartbeat; kafka-python then stops the heartbeats, tells nobody, and reads on beside its
    successor.
    """
    return has_joined(consumer) and not consumer._coordinator._heartbeat_enabled  # noqa: SLF001


class Rivals:
    """Notes that another has taken a static member's name.

    Once that is our successor, or a late word of our own; again and again it is a process that shares the name, and the
    two would take the partitions from each other for ever.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._times: list[float] = []

    def met(self, what: str) -> None:
        """Note it.

        Raises:
            Misconfigured: it happens too often.
        """
        now = time.monotonic()
        self._times = [at for at in self._times if at > now - WITHIN] + [now]
        if len(self._times) >= FENCED:
            raise Misconfigured(
                f"{what}: another process goes by the name {self._name}; of several processes of one room on one host "
                "each needs its own: set kafka.member"
            )
