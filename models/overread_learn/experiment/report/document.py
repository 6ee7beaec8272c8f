"""A page that stands alone: its style is in it, and it asks nothing of the network."""

from importlib import resources

from overread_learn.experiment.report.markup import Markup, tag

__all__ = ["document", "own"]

_ALONE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Content security policy: the page can't fetch anything, whatever stands in it."""


def document(title: str, *body: Markup) -> str:
    """Return a whole HTML page."""
    head = (
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_ALONE),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", own("page.css")),
    )
    html = tag("html", tag("head", *head), tag("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def own(name: str) -> Markup:
    """Return a style sheet or a script of this package: neither is escaped inside its element."""
    return Markup(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
