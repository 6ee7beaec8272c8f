"""`make soak N=1000000`: corrections by the million with random kills, then the proof; memory has to stay flat.

The line is that of the drills. While corrections pass, now and then the broker or a room is killed by -9 and comes
again; in the second half the broker alone, so that the rooms' memory is seen over a long life. At the end the checker
holds everything against the clients' history, and a rebuild from offset 0 against the live state.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from overread.core.errors import OverreadError
from overread.simulation.broker import Cluster, free_ports
from overread.simulation.faults.drills import SOON, prepare
from overread.simulation.faults.evidence import judge
from overread.simulation.faults.line import ROOMS, Line, stop_forkserver
from overread.simulation.postgres import Server
from overread.simulation.stopping import stop_when_asked
from overread_learn.printing import complain, err, out

SAMPLE = 10.0
"""Seconds between two looks at memory."""
BYTES = 8_000
"""Of disk that an event may take: log, index, database, rebuild. Asked for before it begins."""
FLAT = 1.2
"""By how much the memory of the last quarter may exceed that of the third."""


def main() -> int:
    """Let N events pass the line under random kills of broker and rooms, and prove that nothing was lost or doubled.

    An event is a command or a fact that a room has read; a correction makes two. What it measures tells how long a
    million takes: it says how much time is left.
    """
    arguments = _arguments()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop_when_asked()
    try:
        summary = soak(arguments.events, arguments.every, arguments.seed, arguments.out)
    except KeyboardInterrupt:
        err.print("stopped, and everything that was started with it")
        return 130
    except OverreadError as error:
        complain(error)
        return 2
    finally:
        stop_forkserver()
    file = arguments.out / "summary.json"
    file.write_text(json.dumps(summary, indent=2) + "\n")
    shown = {name: value for name, value in summary.items() if name not in {"samples", "details"}}
    out.print_json(json.dumps(shown))
    for line in summary["details"]:
        err.print(line, markup=False)
    return 0 if summary["holds"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=main.__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="how many have to pass (%(default)s)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two kills, at random (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the kills and the corrections (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/soak"), help="histories, logs, summary (%(default)s)")
    return parser.parse_args()


def soak(events: int, every: float, seed: int, folder: Path) -> dict[str, Any]:
    """Run it; return the summary."""
    draw = random.Random(seed)  # noqa: S311 - to be repeated
    begun = time.monotonic()
    with ExitStack() as parts:
        place = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="overread-soak-")))
        place.chmod(0o755)
        if shutil.disk_usage(place).free < events * BYTES:
            raise OSError(f"{place}: {events} events may take {events * BYTES >> 20} MiB, which are not free")
        server = parts.enter_context(Server(place / "postgresql", free_ports(1)[0]))
        cluster = parts.enter_context(Cluster(place / "kafka", settings=SOON))
        prepare(server.url())
        # More candidates for more events: a candidate has some 25 versions, as hardly a real one has.
        settings: dict[str, Any] = {"candidates": max(24, events // 100), "rate": 2000.0, "seed": seed}
        line = parts.enter_context(Line(folder, cluster, server.url(), **settings))
        line.begin()
        samples, kills = _soak(line, events, every, draw)
        err.print("waiting for what is still on its way, then proving")
        line.settle()
        passed = time.monotonic() - begun
        row = judge(line, "soak", f"{sum(kills.values())} kills")
        fat = _fat(samples)
        return {
            **row.facts(),
            "holds": row.holds and not fat,
            "details": [*row.details, *fat],
            "kills": dict(kills),
            "seconds": round(time.monotonic() - begun, 1),
            "events_a_second": round(row.events / passed, 1),
            "resident_mib": {room: _quarters(taken) for room, taken in samples.items()},
            "samples": dict(samples),
        }


def _soak(line: Line, events: int, every: float, draw: random.Random) -> tuple[dict[str, list[float]], dict[str, int]]:
    samples: dict[str, list[float]] = defaultdict(list)
    kills: dict[str, int] = defaultdict(int)
    line.clients.start()
    try:
        begun = time.monotonic()
        kill_at, look_at = begun + draw.uniform(0, every), begun
        while (done := line.handled()) < events:
            line.check_rooms()
            if time.monotonic() > kill_at:
                victim = draw.choice(("broker", *ROOMS)) if done < events / 2 else "broker"
                kills[victim] += 1
                _kill(line, victim)
                kill_at = time.monotonic() + draw.uniform(0, 2 * every)
            if time.monotonic() > look_at:
                look_at = time.monotonic() + SAMPLE
                for room, number in line.pids().items():
                    samples[room].append(resident(number))
                _progress(done, events, time.monotonic() - begun, sum(kills.values()))
            time.sleep(0.2)
    finally:
        line.clients.stop()
    return samples, kills


def _progress(done: int, events: int, seconds: float, kills: int) -> None:
    rate = done / max(seconds, 1)
    left = timedelta(seconds=round((events - done) / rate)) if done else "?"
    err.print(f"{done} of {events} events, {rate:.0f} a second, {kills} kills, {left} left", markup=False)


def _kill(line: Line, victim: str) -> None:
    if victim == "broker":
        line.cluster.nodes[0].kill()
        line.cluster.start()
    else:
        line.kill(victim)
        line.start(victim)


def resident(process: int) -> float:
    """Return the memory that a process holds (MiB)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _quarters(taken: list[float]) -> list[float]:
    """Return the median of each quarter of the time (MiB)."""
    step = max(1, len(taken) // 4)
    parts = [taken[first : first + step] for first in range(0, step * 4, step)]
    return [round(statistics.median(part), 1) for part in parts if part]


def _fat(samples: dict[str, list[float]]) -> list[str]:
    """Say which room's memory grew."""
    found = []
    for room, taken in samples.items():
        quarters = _quarters(taken)
        if len(quarters) == 4 and quarters[3] > FLAT * quarters[2]:
            found.append(f"{room} grew from {quarters[2]} to {quarters[3]} MiB")
    return found


if __name__ == "__main__":
    sys.exit(main())
