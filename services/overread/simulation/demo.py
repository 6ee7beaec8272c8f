"""`make demo`: the whole loop on one machine, over the real protocols, with a table of what happened at its end.

Everything is a process of its own: `overread up`, `overread send`, `overread read`. This driver only waits, signs as
`demo-policy`, submits one challenger trained on flipped labels, and writes summary.json.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from rich.console import Console

from overread import config
from overread.core.clock import utc_now
from overread.core.errors import GateFailed, Misconfigured, OverreadError
from overread.house import House, application
from overread.rollout import signoff
from overread.simulation import phantoms, photographs
from overread.simulation.flipped import train_flipped
from overread.simulation.processes import child, house_ports, overread, start_servers, wait_for_port
from overread.simulation.stopping import stop_when_asked
from overread.simulation.summary import faults, summarise, table
from overread.status import collect
from overread_learn.printing import complain

console = Console(stderr=True)

SIGNER = "demo-policy"
STALL_SECONDS = 600.0
"""Without any progress for this long the demo gives up and says where it stood."""


class Plan(NamedTuple):
    """What the demo runs on."""

    application: str
    studies: Path
    truth: Path
    settings: dict[str, Any]
    least_rounds: int
    most_rounds: int
    kinds: tuple[str, ...]
    """Verdicts that the truth calls for: a candidate set has no missed lesions and no marks beside theirs."""


def main() -> int:
    """Run the demo; exit code 0 if everything that it promises came true."""
    arguments = _arguments()
    begun = time.monotonic()
    out: Path = arguments.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    stop_when_asked()
    try:
        with contextlib.ExitStack() as servers:
            places = start_servers(arguments.bus, arguments.store, out, servers)
            plan = _plan(arguments, out)
            summary = _run(plan._replace(settings={**plan.settings, **places}), out, begun)
    except OverreadError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    (out / "summary.json").write_text(json.dumps(summary, indent=2, default=str) + "\n")
    Console().print(table(summary))
    wrong = faults(summary, plan.kinds)
    for fault in wrong:
        console.print(f"[bold red]not as promised:[/] {fault}")
    again = [f"overread --config {out / 'overread.yaml'} up   page: {summary['page']}"]
    again[:0] = [f"make {name} ARGS='--data {out / name} --port {port}'" for name, port in summary["servers"].items()]
    print(f"{out / 'summary.json'}\nagain: " + "\n       ".join(again))  # noqa: T201
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=main.__doc__)
    parser.add_argument("--data", type=Path, help="a candidate set; without it phantoms are made")
    parser.add_argument("--weights", type=Path, help="ImageNet weights by file")
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    parser.add_argument("--studies", type=int, default=72, help="phantom studies")
    parser.add_argument("--application", help="of the candidate set")
    parser.add_argument("--strategy", default="auto", help="who is asked about; see `overread-learn strategies`")
    parser.add_argument("--budget", type=int, help="reads of a round; 50 of phantoms, 120 of a candidate set")
    parser.add_argument("--bus", choices=("embedded", "kafka"), default="embedded", help="kafka: a broker is started")
    parser.add_argument(
        "--store", choices=("sqlite", "postgresql"), default="sqlite", help="postgresql: a server is started"
    )
    return parser.parse_args()


def _plan(arguments: argparse.Namespace, out: Path) -> Plan:
    studies = out / "studies"
    trainer: dict[str, Any] = {"weights": str(arguments.weights.resolve())} if arguments.weights else {}
    trainer["strategy"] = arguments.strategy
    if arguments.data is None:
        with console.status("generating phantoms"):
            truth = phantoms.generate(studies, studies=arguments.studies, seed=7, on_progress=lambda *_: None)
        trainer |= {"budget": arguments.budget or 50, "audit": 5}
        return Plan(
            "lung-nodule", studies, truth, {"trainer": trainer}, 2, 6, ("confirmed", "rejected", "amended", "added")
        )
    named = arguments.application or "fundus-microaneurysm"
    application(named)  # said now, not after the wrapping, and not in the log of `up` alone
    with console.status("wrapping photographs as DICOM"):
        wrapped = photographs.wrap(arguments.data, studies, on_progress=lambda *_: None)
    trainer |= {"budget": arguments.budget or 120, "audit": 10}
    settings = {"trainer": trainer, "splits": str(wrapped.splits)}
    return Plan(
        named,
        studies,
        wrapped.truth,
        settings,
        3,
        6,
        ("confirmed", "rejected"),
    )


def _run(plan: Plan, out: Path, begun: float) -> dict[str, Any]:
    home = out / "house"
    home.mkdir()
    # A fixed key makes the keyed split of patients, and so the demo, the same every time.
    (home / "pseudonyms.key").write_bytes(hashlib.sha256(b"overread demo").digest())
    dicom, page, health = house_ports()
    settings = {
        "data": str(home),
        "application": plan.application,
        "health_port": health,
        "gateway": {"port": dicom},
        "review": {"port": page},
        "candidates": {"settle_seconds": 3.0},
        "blobs_reserve_mb": 64,
        **plan.settings,
    }
    file = out / "overread.yaml"
    file.write_text(yaml.safe_dump(settings))
    with child(file, "up", log=out / "up.log"):
        house = House(config.load(file))
        wait_for_port(dicom)
        console.print(f"page: http://127.0.0.1:{page}/   DICOM: 127.0.0.1:{dicom}   log: {out / 'up.log'}")
        sent, answered = out / "sent.jsonl", out / "answered.jsonl"
        send = ("send", str(plan.studies), "--record", str(sent))
        reading = ("read", "--simulate", str(plan.truth), "--idle", "3600", "--record", str(answered))
        with child(file, *send, log=out / "send.log") as sender, child(file, *reading, log=out / "read.log"):
            if sender.wait() != 0:
                raise Misconfigured(f"not every instance was stored; see {out / 'send.log'}")
            _wait_for_champion(house, plan)
            flipped = _submit_flipped(house, out)
        _settle(house)
        summary = summarise(house, sent=sent, answered=answered, flipped=flipped, seconds=time.monotonic() - begun)
        house.close()
    urls = {"kafka": settings.get("bus_url"), "postgres": settings.get("store_url")}
    servers = {name: urlsplit(url).port for name, url in urls.items() if url}
    return {**summary, "page": f"http://127.0.0.1:{page}/", "servers": servers}


def _wait_for_champion(house: House, plan: Plan) -> None:
    """Sign what awaits a signature until a challenger beyond the first clearance serves."""
    last, changed = "", time.monotonic()
    with console.status("") as status:
        while True:
            facts = collect(house)
            _sign(house, facts)
            rounds = [row for row in facts["trainer"]["rounds"] if row["state"] == "registered" and row["round"]]
            champions = facts["rollout"]["champions"]
            said = _line(facts)
            if said != last:
                last, changed = said, time.monotonic()
            status.update(said)
            pending = {"registered", "validating", "awaiting_signoff", "promoting"}
            undecided = [row for row in facts["rollout"]["versions"] if row["state"] in pending]
            cleared = len(champions) - 1  # the first champion is the bootstrap
            if cleared >= 2 and len(rounds) >= plan.least_rounds and not undecided:
                return
            if len(rounds) >= plan.most_rounds and not undecided:
                return
            if time.monotonic() - changed > STALL_SECONDS:
                raise GateFailed(f"nothing happened for {STALL_SECONDS:.0f} s; it stood at: {said}")
            time.sleep(1)


def _line(facts: dict[str, Any]) -> str:
    corrections = sum(facts["review"]["corrections"].values())
    rounds = facts["trainer"]["rounds"]
    last = rounds[-1] if rounds else {"round": "-", "state": "starting", "reason": None}
    return (
        f"{facts['gateway']['instances']} instances · {facts['inference']['scored']} scored · "
        f"{corrections} corrections · "
        f"round {last['round']} {last['state']} {last['reason'] or ''} · champions {facts['rollout']['champions']}"
    )


def _sign(house: House, facts: dict[str, Any]) -> None:
    for row in facts["rollout"]["versions"]:
        if row["state"] == "awaiting_signoff":
            with contextlib.suppress(GateFailed), house.store.writing() as tx:
                signoff.sign(tx, row["version"], SIGNER, time=utc_now())


def _submit_flipped(house: House, out: Path) -> int:
    """Train on flipped labels, import through the command line, wait for the gate; return the version."""
    file = out / "flipped.onnx"
    with console.status("training a challenger on flipped labels") as status:
        trained = max(row["version"] for row in collect(house)["rollout"]["versions"] if row["cleared"])
        train_flipped(house, trained, file, on_epoch=lambda epoch: status.update(f"flipped labels, epoch {epoch}"))
        command = [*overread(out / "overread.yaml"), "models", "import", str(file), "--json"]
        version = int(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["version"])  # noqa: S603
        deadline = time.monotonic() + STALL_SECONDS
        while time.monotonic() < deadline:
            rows = {row["version"]: row["state"] for row in collect(house)["rollout"]["versions"]}
            if rows.get(version) in {"rejected", "awaiting_signoff", "aborted"}:
                return version
            time.sleep(1)
    raise GateFailed(f"version {version}, trained on flipped labels, got no verdict")


def _settle(house: House) -> None:
    """Wait until inference serves what rollout says, and the last answers are on the bus."""
    for _ in range(60):
        facts = collect(house)
        serving = facts["serving"] or {}
        served = facts["rollout"]["champion"] and serving.get("sha256") == facts["rollout"]["champion"]["sha256"]
        if served and not facts.get("relay", {}).get("unsent"):
            return
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
