"""A lease: one process at a time, and a crashed holder is succeeded after `seconds` of the database's clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import delete, select

from overread.core.errors import StoreUnavailable
from overread.store.engine import Store, upsert
from overread.store.tables import leases


class Lease:
    """A named right in the database, renewed while held."""

    def __init__(self, store: Store, name: str, holder: str, *, seconds: float = 30.0) -> None:
        self._store, self.name, self.holder, self._seconds = store, name, holder, seconds

    def take(self) -> bool:
        """Take or renew; False while another holder's lease runs."""
        with self._store.writing() as tx:
            now = self._store.now(tx)
            row = tx.execute(select(leases).where(leases.c.name == self.name)).first()
            if row is not None and row.holder != self.holder and row.expires > now:
                return False
            values = {"holder": self.holder, "expires": now + self._seconds}
            statement = upsert(leases).values(name=self.name, **values)
            tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
        return True

    def give_back(self) -> None:
        """End it now."""
        with self._store.writing() as tx:
            tx.execute(delete(leases).where(leases.c.name == self.name, leases.c.holder == self.holder))

    @contextmanager
    def renewed(self) -> Iterator[Callable[[], bool]]:
        """Renew in the background; yields a function that says whether the lease is still ours."""
        done, lost = threading.Event(), threading.Event()

        def renew() -> None:
            deadline = time.monotonic() + self._seconds
            while not done.wait(self._seconds / 3):
                try:
                    kept = self.take()
                except StoreUnavailable:  # a busy minute is no loss until the lease has run out
                    kept = time.monotonic() < deadline
                else:
                    deadline = time.monotonic() + self._seconds
                if not kept:
                    lost.set()
                    return

        thread = threading.Thread(target=renew, name=f"lease-{self.name}", daemon=True)
        thread.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            done.set()
            thread.join()
