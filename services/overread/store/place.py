"""What may be shown of a database's URL."""

from __future__ import annotations

from sqlalchemy import URL, make_url


def shown(url: URL | str) -> str:
    """Return the URL without its password, and without options: they may hold another one."""
    url = make_url(url)
    return URL.create(
        url.drivername.partition("+")[0], url.username, None, url.host, url.port, url.database
    ).render_as_string()
