"""`make faults`: one drill after the other, a table at the end, and an exit code that says whether all of it holds."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError

from overread.core.errors import Misconfigured, OverreadError
from overread.simulation.faults.disks import full_database, full_log, go_apart
from overread.simulation.faults.drills import DRILLS, Ground, ground
from overread.simulation.faults.evidence import Row
from overread.simulation.faults.line import stop_forkserver
from overread.simulation.faults.planted import plant
from overread.simulation.stopping import stop_when_asked
from overread_learn.printing import complain, err, out, show, tabulate

ALL: dict[str, Callable[[Ground], Row]] = {**DRILLS, "database-full": full_database, "broker-full": full_log}
COLUMNS = (
    "fault",
    "events",
    "deliveries",
    "resent",
    "retries",
    "lost",
    "doubled",
    "order_broken",
    "seconds",
    "verdict",
)


def main() -> int:
    """Make brokers, rooms, disks and clocks fail while corrections pass, and prove that none was lost or doubled.

    An estimate for two free cores: ten minutes for the whole, three with --quick. A busy machine takes longer.
    """
    arguments = _arguments()
    if arguments.list:
        show({name: (drill.__doc__ or "").partition("\n")[0] for name, drill in ALL.items()}, as_json=True)
        return 0
    go_apart()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # clients that wait for their broker complain of it
    stop_when_asked()
    begun = time.monotonic()
    try:
        rows = _drill(arguments.only or list(ALL), arguments.out, quick=arguments.quick)
    except KeyboardInterrupt:
        err.print("stopped, and everything that was started with it")
        return 130
    except OverreadError as error:
        complain(error)
        return 2
    finally:
        stop_forkserver()
    return _report(rows, arguments, time.monotonic() - begun)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="one of each fault, and shorter ones")
    parser.add_argument(
        "--only", action="append", choices=tuple(ALL), metavar="NAME", help="this drill; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="say which drills there are, and end")
    parser.add_argument("--json", action="store_true", help="print the summary instead of the table")
    parser.add_argument("--out", type=Path, default=Path("build/faults"), help="histories, logs, summary (%(default)s)")
    return parser.parse_args()


def _drill(names: Sequence[str], folder: Path, *, quick: bool) -> list[Row]:
    rows = []
    with ground(folder, quick=quick, say=lambda words: err.print(f"  {words}")) as on:
        for number, name in enumerate(names, 1):
            err.print(f"{number} of {len(names)}: {name}")
            began = time.monotonic()
            try:
                row = ALL[name](on)
            except Misconfigured as error:  # this machine can't; CI's has to
                failed = os.environ.get("CI") == "true"
                row = Row(name, f"not done: {error}", verdict="WRONG" if failed else "not done")
            except (OverreadError, KafkaError, OSError, ValueError) as error:  # TimeoutError is an OSError
                row = Row(name, f"broken off: {type(error).__name__}: {error}", verdict="WRONG")
            row.seconds = round(time.monotonic() - began, 1)
            rows.append(row)
            for line in row.details:
                err.print(f"  {line}")
            err.print(f"  {row.verdict} after {row.seconds} s")
    return rows


def _report(rows: Sequence[Row], arguments: argparse.Namespace, seconds: float) -> int:
    planted = plant()
    sums = {name: sum(getattr(row, name) for row in rows) for name in ("lost", "doubled", "order_broken", "other")}
    holds = all(row.verdict != "WRONG" for row in rows) and all(one.seen for one in planted)
    summary: dict[str, Any] = {
        **sums,
        "holds": holds,
        "quick": arguments.quick,
        "seconds": round(seconds, 1),
        "faults": [row.facts() for row in rows],
        "planted": [{**one._asdict(), "seen": one.seen} for one in planted],
    }
    file = arguments.out / "summary.json"
    file.write_text(json.dumps(summary, indent=2) + "\n")
    show(summary, as_json=arguments.json, table=tabulate("faults", COLUMNS, summary["faults"]))
    if not arguments.json:
        for row in rows:
            out.print(f"{row.fault}: {row.did}", markup=False, soft_wrap=True)
        out.print(tabulate("planted, for the checker to find", ("planted", "found", "seen"), summary["planted"]))
        out.print(f"lost {sums['lost']}, doubled {sums['doubled']}, order broken {sums['order_broken']}")
        out.print(
            f"{'all of it holds' if holds else 'NOT as it should be'}, after {seconds:.0f} s: {file}", markup=False
        )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
