"""`overread topics`: the topics of a Kafka cluster, as the topology wants them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overread.cli.app import Json, app, settings
from overread.core.errors import Misconfigured
from overread.topology import DEAD_LETTERS, TOPICS
from overread_learn.printing import out, show, tabulate

if TYPE_CHECKING:
    from overread.bus.kafka_topics import Difference, Operator

topics = typer.Typer(
    help="The topics on Kafka: what they should be, making them, and whether they still are so.", no_args_is_help=True
)
app.add_typer(topics, name="topics")

Bus = Annotated[
    str | None, typer.Option(help=r"Such as kafka://host:9092.  \[default: the setting bus_url]", metavar="URL")
]
Replicas = Annotated[
    int | None, typer.Option(min=1, help=r"Of each partition.  \[default: 3, or one a broker where there are fewer]")
]


@topics.command()
def plan(bus: Bus = None, replicas: Replicas = None, *, as_json: Json = False) -> None:
    """Say what each topic should be, and what `apply` would do about it. Changes nothing.

    Examples:
        overread topics plan --bus kafka://127.0.0.1:9092
        overread topics plan --replicas 3 --json
    """
    with _cluster(bus) as cluster:
        wanted = cluster.shapes(TOPICS | DEAD_LETTERS, replicas)
        found = cluster.differences(wanted)
    does = {one.topic: "makes it" if one.what == "topic" else "reports it" for one in found}
    rows = [{"topic": name, **one._asdict(), "apply": does.get(name, "leaves it")} for name, one in wanted.items()]
    if as_json:
        show({"topics": rows, "differences": _rows(found)}, as_json=True)
        return
    all_have = set.intersection(*(set(one.settings.items()) for one in wanted.values()))
    told = [
        {**row, "settings": _lines(set(one.settings.items()) - all_have)}
        for row, one in zip(rows, wanted.values(), strict=True)
    ]
    _print("topics", ("topic", "partitions", "replicas", "settings", "apply"), told)
    out.print(f"and of each: {_lines(all_have, ', ')}")
    _report([one for one in found if one.what != "topic"])


def _lines(settings: Iterable[tuple[str, str]], between: str = "\n") -> str:
    return between.join(f"{name}={value}" for name, value in sorted(settings))


@topics.command()
def apply(
    bus: Bus = None,
    replicas: Replicas = None,
    *,
    alter: Annotated[
        bool, typer.Option("--alter", help="Also change settings that drifted. A shorter retention deletes events.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the topics that are absent. What is there stays as it is and is reported where it differs.

    Partitions are never added: a key would change its partition, and its order would break. Replicas are moved by
    Kafka's own tool, kafka-reassign-partitions.

    Examples:
        overread topics apply --bus kafka://127.0.0.1:9092
        overread topics apply --alter
    """
    with _cluster(bus) as cluster:
        wanted = cluster.shapes(TOPICS | DEAD_LETTERS, replicas)
        found = cluster.differences(wanted)
        made = {one.topic: wanted[one.topic] for one in found if one.mend == "apply"}
        altered = [one for one in found if alter and one.mend == "apply --alter"]
        cluster.make(made)
        cluster.alter(altered)
    left = [one for one in found if one.topic not in made and one not in altered]
    if as_json:
        show({"made": sorted(made), "altered": _rows(altered), "differences": _rows(left)}, as_json=True)
        return
    out.print(f"{len(made)} topics made, {len(altered)} settings changed, {len(wanted) - len(made)} were there")
    _report(left)


@topics.command()
def check(bus: Bus = None, replicas: Replicas = None, *, as_json: Json = False) -> None:
    """Hold the cluster against the topology, and name each difference. Exit code 1 where there is one.

    Example:
        overread topics check --bus kafka://127.0.0.1:9092
    """
    with _cluster(bus) as cluster:
        found = cluster.differences(cluster.shapes(TOPICS | DEAD_LETTERS, replicas))
    if as_json:
        show({"differences": _rows(found)}, as_json=True)
    elif found:
        _report(found)
    else:
        out.print("every topic is as it should be")
    if found:
        raise typer.Exit(1)


@contextmanager
def _cluster(bus: str | None) -> Iterator[Operator]:
    from overread.house import operator

    chosen = settings(bus_url=bus)
    if not chosen.bus_url:
        raise Misconfigured("bus_url: the embedded bus needs no topics made; name a cluster, --bus kafka://host:9092")
    with operator(chosen) as cluster:
        yield cluster


def _rows(found: list[Difference]) -> list[dict[str, str]]:
    return [{**one._asdict(), "mend": one.mend} for one in found]


def _report(found: list[Difference]) -> None:
    if found:
        _print("not as it should be", ("topic", "what", "wanted", "found", "mend"), _rows(found))


def _print(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    table = tabulate(title, columns, rows)
    for column in table.columns:
        column.overflow = "fold"  # half a topic's name says nothing
    out.print(table)
