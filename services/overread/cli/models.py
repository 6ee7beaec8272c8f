"""`overread models`: what stands on the registry's shelf."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from overread.cli.app import Json, app, house
from overread.core.errors import Misconfigured
from overread_learn.printing import out, show, tabulate

models = typer.Typer(help="Model versions: list, show, import.", no_args_is_help=True)
app.add_typer(models, name="models")


@models.command("list")
def list_versions(*, as_json: Json = False) -> None:
    """List the versions in the registry, newest first."""
    with house() as opened:
        champion = opened.registry.champion()
        rows = [
            {"version": row.version, "champion": row.version == champion, **dict(row.tags)}
            for row in opened.registry.versions()
        ]
    columns = ("version", "kind", "champion", "sha256", "parent", "labels", "strategy")
    show(rows, as_json=as_json, table=tabulate("models", columns, rows))


@models.command("show")
def show_version(version: Annotated[int, typer.Argument(help="Its number.")], *, as_json: Json = False) -> None:
    """Show a version's lineage, and whether its file is the one that was registered."""
    with house() as opened:
        found = next((row for row in opened.registry.versions() if row.version == version), None)
        if found is None:
            raise Misconfigured(f"there is no version {version}; see `overread models list`")
        content = opened.registry.fetch(version)
    digest = hashlib.sha256(content).hexdigest() if content is not None else None
    facts = {"version": version, **found.tags, "file_sha256": digest, "intact": digest == found.tags.get("sha256")}
    rows = [{"field": name, "value": str(value)} for name, value in facts.items()]
    show(facts, as_json=as_json, table=tabulate(f"version {version}", ("field", "value"), rows))


@models.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="An ONNX file that overread_learn exported.")],
    *,
    as_json: Json = False,
) -> None:
    """Register an ONNX file as a challenger. It meets the same gates as every other one.

    Example:
        overread models import vendor.onnx
    """
    from overread.core.codec import Envelope
    from overread.core.events import ChallengerRegistered, Kind
    from overread_learn.scoring import NotAModel, Scorer

    with house() as opened:
        try:
            scorer = Scorer(file)
        except (NotAModel, OSError) as error:
            raise Misconfigured(f"{file}: {error}") from error
        if scorer.application != opened.application:
            raise Misconfigured(
                f"{file} was made for {scorer.application.name}, or cuts its patches in another way than this house's "
                f"{opened.application.name}"
            )
        opened.registry.prepare()
        version, sha256 = opened.registry.register(
            f"import-{scorer.sha256}",
            model=file.read_bytes(),
            weights=None,
            tags={"kind": Kind.IMPORTED, "sha256": scorer.sha256, "application": scorer.application.name},
            parameters={"file": file.name, "arch": scorer.arch},
            metrics={},
        )
        event = ChallengerRegistered(
            name=opened.registry.name, version=version, sha256=sha256, kind=Kind.IMPORTED, round=0
        )
        opened.bus.publish([Envelope(event, "import", id=f"import-{sha256}").record()])
    if as_json:
        show({"version": version, "sha256": sha256}, as_json=True)
    else:
        out.print(f"version {version} is registered; follow it with `overread rollout show {version}`")
