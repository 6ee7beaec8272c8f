"""Jobs on every core: each in a process of its own, their results in the order in which they end."""

import multiprocessing
import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["CONTEXT", "WorkerEnded", "cores", "end_with_parent", "processor", "spread", "threads_of"]

CONTEXT = multiprocessing.get_context("spawn")
"""Torch's threads do not survive a fork."""

GLANCE_S = 0.5
"""How often `spread` looks up from its waiting."""

Job = TypeVar("Job", bound=tuple[Any, ...])
Result = TypeVar("Result")


class WorkerEnded(ChildProcessError):
    """A process that worked for this one was ended, by a signal or for want of memory."""


def cores() -> int:
    """Return how many cores this process may use, where the system tells; else how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return what kind of processor this is, and the widest vectors it has: other kinds take other times."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace") if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.partition(":")[::2] for line in told.split("\n\n", 1)[0].splitlines())
    known = {name.strip(): value.strip() for name, value in fields.items()}
    vectors = [wide for wide in ("amx_tile", "avx512f", "avx2") if wide in known.get("flags", "").split()]
    return ", ".join([known.get("model name", platform.machine()), *vectors[:1]])


def threads_of(workers: int) -> int:
    """Return how many threads each of so many processes may have, so that all cores work and none is fought over."""
    return max(1, cores() // workers)


def end_with_parent() -> None:
    """Let this process end at once when its parent does, however that ends: a killed one can't say that it does.

    What is under way is lost, and done again by who takes the work up: two that work for one folder would be worse.
    """

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def _begin(prepare: Callable[[], None]) -> None:
    end_with_parent()
    prepare()


def spread(
    work: Callable[..., Result],
    jobs: Iterable[Job],
    workers: int,
    prepare: Callable[[], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Job, Result]]:
    """Yield each job with what ``work(*job)`` returned. Jobs begin in their order, ``workers`` at a time.

    ``prepare`` runs once in each process, ``meanwhile`` here, twice a second and before a result is yielded. Raises
    what a job raises, after the others under way have ended, WorkerEnded where a process was ended. What must not be
    lost then, or when somebody interrupts, ``work`` itself keeps.
    """
    pool = ProcessPoolExecutor(workers, CONTEXT, initializer=_begin, initargs=(prepare,))
    try:
        futures = {pool.submit(work, *job): job for job in jobs}
        pending = set(futures)
        while pending:
            done, pending = wait(pending, GLANCE_S, FIRST_COMPLETED)
            meanwhile()
            for future in done:
                yield futures[future], future.result()
    except BrokenExecutor as error:
        raise WorkerEnded(
            "a process that worked here was ended from outside, perhaps for want of memory: what is done is kept; go "
            "on with --resume, and if it happens again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
