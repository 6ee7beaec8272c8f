"""`make bench-bus`: what the bus costs beside kafka-python's bare client, on one broker, in one interleaved run.

Produce: `KafkaBus.publish` in batches; the bare producer sends everything and waits at the end. Relay: rows of an
outbox on PostgreSQL, read, published, marked. Consume: the worker, with inbox, effect and offset in PostgreSQL
transactions; the bare consumer polls and commits. End to end: relay and worker at the same time, and bare producer and
consumer. `ratios` are our rate over the bare client's; 1 is as fast.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import logging
import pstats
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from overread.bus.relay import Relay
from overread.simulation.bench_ways import PARTITIONS, SIZE, TOGETHER, Bench
from overread.worker import Worker
from overread_learn.bench.interleaved import interleaved, ratios, report
from overread_learn.printing import out as console
from overread_learn.printing import tabulate

PEERS = {"produce": "bare_produce", "relay": "bare_produce", "consume": "bare_consume", "end_to_end": "bare_end_to_end"}
"""Each way of ours, and the bare client's that does the same without a promise."""


def profiled(call: Callable[[], object]) -> dict[str, float]:
    """Return where a call's time goes: shares of its seconds by library, the largest first."""
    profile = cProfile.Profile()
    began = time.perf_counter()
    profile.runcall(call)
    seconds = time.perf_counter() - began
    spent = Counter[str]()
    for (file, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[_library(file, name)] += own
    return {name: round(own / seconds, 3) for name, own in spent.most_common() if own / seconds > 0.01}


def _library(file: str, name: str) -> str:
    if any(word in name for word in ("acquire", "select.", "poll", "sleep", "recv", "wait")):
        return "waiting"
    for library in ("sqlalchemy", "psycopg", "kafka", "pydantic", "overread", "json"):
        if f"/{library}" in file or library in name:
            return library
    return "python"


def main() -> int:
    """Time every way in turns against kafka-python's bare client, and write the ratios; about two minutes."""
    parser = argparse.ArgumentParser(prog="make bench-bus", description=main.__doc__)
    parser.add_argument("--records", type=int, default=5000, help="in a round, of 1 KiB (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is timed (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/bench/bus.json"), help="(%(default)s)")
    arguments = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with ExitStack() as parts:
        bench = Bench(parts, arguments.records)
        seconds = _timed(bench, arguments.rounds)
        profile = _profiles(bench)
    setting = {"records": arguments.records, "rounds": arguments.rounds, "bytes": SIZE, "together": TOGETHER}
    setting |= {"worker_batch": Worker.batch, "relay_batch": Relay.batch, "partitions": PARTITIONS}
    found = report(seconds, "produce", setting, ["kafka-python", "psycopg", "sqlalchemy", "overread"])
    found["ratios"] = {ours: ratios(seconds, ours)[bare] for ours, bare in PEERS.items()}
    found["ratios_mean"] = "our rate over the bare client's on the same broker: the median of the rounds' ratios"
    found["consume_to_bare_rows"] = ratios(seconds, "consume")["bare_rows"]
    found["rates"] = {way: arguments.records / statistics.median(taken) for way, taken in seconds.items()}
    found["profile"] = profile
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    rows = [
        {"way": way, "events a second": round(rate), "to the bare client": found["ratios"].get(way)}
        for way, rate in found["rates"].items()
    ]
    console.print(tabulate(f"{arguments.records} of 1 KiB, medians of {arguments.rounds}", tuple(rows[0]), rows))
    for way, shares in profile.items():
        console.print(f"{way}: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()), markup=False)
    console.print(f"{arguments.out}", markup=False)
    return 0


def _timed(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Time the ways. Those from end to end take turns among themselves: the relay has one outbox."""
    through = {name: bench.ways.pop(name) for name in ("end_to_end", "bare_end_to_end")}
    return {**interleaved(bench.draw, bench.ways, rounds), **interleaved(bench.draw_through, through, rounds)}


def _profiles(bench: Bench) -> dict[str, dict[str, float]]:
    records = bench.draw(0)
    return {
        "relay": profiled(bench.ours.carry),
        "consume": profiled(lambda: bench.ours.read("consume", bench.ours.consumed, len(records))),
        "produce": profiled(lambda: bench.ways["produce"](records)),
    }


if __name__ == "__main__":
    sys.exit(main())
