"""All runs of a comparison: on every core, each kept as a file of its own the moment it ends, taken up again later."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any, NamedTuple

from overread_learn.acquisition.strategy import Strategy, meaning, strategy
from overread_learn.applications import Application
from overread_learn.experiment.material import Material
from overread_learn.experiment.oracle import MARKS
from overread_learn.experiment.processes import CONTEXT, cores, end_with_parent, spread
from overread_learn.experiment.protocol import Protocol
from overread_learn.files import write_whole

if TYPE_CHECKING:
    from overread_learn.experiment.learner import Learner

__all__ = ["Comparison", "OtherRules", "Progress"]

THREADS = 1
"""Of each run, however many run at once: more would sum up gradients in another order, and end elsewhere."""
_VERSIONS = ("torch", "torchvision", "onnxruntime-gpu", "numpy", "scikit-learn")


class OtherRules(ValueError):
    """A run that stands in the folder was made under another protocol."""


class Progress(NamedTuple):
    """News from the runs."""

    strategy: str
    """Empty while what all runs share is computed, before any begins."""
    seed: int
    labels: int
    """So far in this run; 0 where it was found on disk."""
    done: bool


@dataclass(frozen=True)
class Comparison:
    """The runs of some strategies with some seeds under one protocol.

    ``folder`` is where `overread_learn.experiment.material.gather` wrote, ``raw`` where each run's JSON goes.
    """

    protocol: Protocol
    folder: Path
    weights: Path | None
    raw: Path
    strategies: Sequence[str]
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        """Refuse an unknown strategy before hours are spent on the known ones."""
        spelt: dict[Strategy, str] = {}
        for name in self.strategies:
            if name not in MARKS:
                other = spelt.setdefault(replace(strategy(name), name=""), name)
                if meaning(other) != meaning(name):  # two names that were given to one are one run
                    raise ValueError(f"{other} and {name} are one strategy: leave one out")

    def file(self, name: str, seed: int) -> Path:
        """Return where a run's JSON stands."""
        return self.raw / f"{name.replace(':', '_')}.seed{seed}.json"

    def read(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Return the runs that are done, of any strategy and seed, by (strategy, seed).

        A wished run of a name that stands for another, such as `auto`, is that other's run where there is one.

        Raises OtherRules where one was made under another protocol, and says which field differs; ValueError where a
        file is none of a run.
        """
        found = {}
        for file in sorted(self.raw.glob("*.json")):
            run = _read(file)
            ours = json.loads(json.dumps(asdict(self.protocol)))
            # What an older version made does not say of which images; all else must be equal.
            theirs = {"images_sha256": ours["images_sha256"], **run["protocol"]}
            if theirs != ours:
                other = [name for name in ours if theirs.get(name) != ours[name]]
                raise OtherRules(f"{file} was made under other rules ({', '.join(other)}); name another --raw or --out")
            if meaning(run["meaning"]) != meaning(run["strategy"]):
                raise OtherRules(
                    f"{file}: {run['strategy']} stood for {run['meaning']} then; remove it, or name another --raw"
                )
            found[run["strategy"], run["seed"]] = run
        same = {(meaning(run["meaning"]), run["seed"]): run for run in found.values()}
        for name, seed in self._wished():
            if (name, seed) not in found and (meaning(name), seed) in same:
                found[name, seed] = {**same[meaning(name), seed], "strategy": name}
        return found

    def run(self, workers: int, on_progress: Callable[[Progress], None]) -> Iterator[dict[str, Any]]:
        """Yield every wished run: those on disk first, the others as they end, first seeds first.

        Raises what a run raises, after the others under way have ended and been kept.
        """
        done = self.read()
        for job in self._wished():
            if job in done:
                on_progress(Progress(*job, 0, done=True))
                yield done[job]
        first: dict[tuple[str, int], tuple[str, int]] = {}  # of several names for one strategy, the one that runs
        for name, seed in self._wished():
            first.setdefault((meaning(name), seed), (name, seed))
        left = [job for job in first.values() if job not in done]
        if not left:
            return
        self.raw.mkdir(parents=True, exist_ok=True)
        circumstances = self._circumstances()
        if self.protocol.depth is not None:
            on_progress(Progress("", 0, 0, done=False))
            list(spread(_compute, [(self, workers)], 1, _nothing))
        manager = SyncManager(ctx=CONTEXT)
        manager.start(end_with_parent)
        with manager:
            news = manager.Queue()

            def tell() -> None:
                while not news.empty():
                    on_progress(news.get())

            for job, run in spread(_one, left, workers, partial(_prepare, self, circumstances, news), tell):
                for name in (
                    name for name, seed in self._wished() if (meaning(name), seed) == (run["meaning"], job[1])
                ):
                    on_progress(Progress(name, job[1], run["steps"][-1]["labels"], done=True))
                    yield {**run, "strategy": name}

    def _wished(self) -> list[tuple[str, int]]:
        return [(name, seed) for seed in self.seeds for name in self.strategies]

    def _circumstances(self) -> dict[str, Any]:
        return {
            "protocol": asdict(self.protocol),
            "commit": commit(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {cores()} cores",
            "threads": THREADS,
            "versions": {name: version(name) for name in _VERSIONS},
        }


def write(path: Path, table: Any) -> None:
    """Write JSON whole or not at all."""
    write_whole(path, (json.dumps(table, indent=1) + "\n").encode(), mode=0o644)


def commit() -> str:
    """Return the commit that runs, with ``+`` where the tree has changes; the package's version outside a checkout."""
    here = Path(__file__)
    try:
        # A virtual environment may lie in somebody else's repository, whose commits say nothing of this package.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return version("overread")


def _git(folder: Path, *words: str) -> str:
    asked = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603, S607 - the user's own git
    return asked.stdout.strip()


def _read(file: Path) -> dict[str, Any]:
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON ({error}); remove it, and its run is made again") from error
    if not isinstance(run, dict) or not {"protocol", "meaning", "strategy", "seed", "steps"} <= set(run):
        raise ValueError(f"{file} is not of a run; the folder of --raw holds nothing else")
    return run


class _Worker(NamedTuple):
    comparison: Comparison
    learner: "Learner"
    circumstances: dict[str, Any]
    news: "Queue[Progress]"


_worker: list[_Worker] = []
"""This process's own; filled once, when it starts."""


def _prepare(comparison: Comparison, circumstances: dict[str, Any], news: "Queue[Progress]") -> None:
    # Only what runs needs torch: the process that waits for them does not.
    from overread_learn.experiment.learner import use_threads  # noqa: PLC0415

    use_threads(THREADS)
    _worker.append(_Worker(comparison, _learner(comparison, THREADS), circumstances, news))


def _learner(comparison: Comparison, threads: int) -> "Learner":
    from overread_learn.experiment.head import HeadLearner  # noqa: PLC0415
    from overread_learn.experiment.learner import Learner  # noqa: PLC0415

    protocol = comparison.protocol
    material = Material(comparison.folder, Application.from_json(protocol.application))
    if protocol.depth is None:
        return Learner(material, protocol, comparison.weights, threads)
    made_of = f"{protocol.material} {protocol.images_sha256} {protocol.arch} {protocol.weights} {protocol.patches}"
    cache = comparison.folder / f"embeddings-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.npy"
    return HeadLearner(material, protocol, comparison.weights, threads, cache=cache)


def _nothing() -> None:
    """Prepare nothing."""


def _compute(comparison: Comparison, threads: int) -> None:
    """Compute what all runs share, before any begins."""
    _learner(comparison, threads).compute()


def _one(name: str, seed: int) -> dict[str, Any]:
    from overread_learn.experiment.run import run  # noqa: PLC0415

    worker = _worker[0]
    found = run(worker.learner, name, seed, lambda labels: worker.news.put(Progress(name, seed, labels, done=False)))
    # Here, not where all come together: a run that ends is kept even if another fails or somebody interrupts.
    kept = {**found, "meaning": meaning(name), **worker.circumstances}
    write(worker.comparison.file(name, seed), kept)
    return kept
