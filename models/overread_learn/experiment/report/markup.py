"""Builds HTML and SVG: whatever is not markup yet is escaped, and what is opened is closed."""

from html import escape

__all__ = ["Markup", "joined", "tag"]

_VOID = {"br", "input", "meta"}


class Markup(str):
    """Text that is markup already. A plain string is data, and is escaped wherever it meets markup."""

    __slots__ = ()


def tag(name: str, /, *content: str | int, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    A last underscore is dropped (``class_`` is a word of Python's own without it), other underscores become hyphens
    (``aria_label``). True is an attribute without a value, None and False are none.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{joined(*content)}</{name}>")


def joined(*content: str | int) -> Markup:
    """Return pieces as one: markup as it is, anything else escaped."""
    return Markup("".join(one if isinstance(one, Markup) else escape(str(one)) for one in content))
