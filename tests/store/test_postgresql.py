"""What PostgreSQL alone can do to a store: refuse it, leave it, come back, be set up otherwise, hold no NUL."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import event, insert, make_url, select, text
from sqlalchemy.exc import DataError

from databases import opened
from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Record
from overread.cli.doctor import examine
from overread.config import Settings
from overread.core.errors import Misconfigured, StoreUnavailable
from overread.simulation.broker import free_ports
from overread.simulation.postgres import Server
from overread.store import deliveries
from overread.store.engine import Store
from overread.store.place import shown
from overread.store.tables import inbox, leases, outbox

pytestmark = pytest.mark.network


@pytest.fixture
def store(fresh_postgresql: str) -> Iterator[Store]:
    yield from opened(fresh_postgresql)


def events(store: Store) -> list[str]:
    with store.reading() as tx:
        return list(tx.execute(select(inbox.c.event).order_by(inbox.c.event)).scalars())


def enter(store: Store, event: str) -> None:
    with store.writing() as tx:
        assert deliveries.first_time(tx, "room", event)


def told(store: Store, question: str) -> str:
    with store.reading() as tx:
        return str(tx.execute(text(question)).scalar())


# Turns


def test_a_writer_that_waits_sees_what_the_one_before_it_committed(store: Store) -> None:
    """And a reader waits for neither: it reads here while one writer holds the turn and another waits for it."""
    seen: list[int] = []

    def second() -> None:
        with store.writing() as tx:
            seen.append(deliveries.next_offset(tx, "room", "topic", 0))

    thread = threading.Thread(target=second)
    with store.writing() as tx:
        deliveries.advance(tx, "room", "topic", 0, 7)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        waiting += " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        until(lambda: told(store, waiting) == "1")
        with store.reading() as other:
            assert deliveries.next_offset(other, "room", "topic", 0) == 0
    thread.join(20)
    assert seen == [7]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_turn_that_does_not_come_is_an_outage(store: Store) -> None:
    hasty = Store(store.url)
    event.listen(hasty.engine, "connect", lambda connection, _: connection.execute("SET lock_timeout = '50ms'"))
    with store.writing(), pytest.raises(StoreUnavailable, match="kept the turn"), hasty.writing():
        pytest.fail("two writers at a time")
    enter(hasty, "afterwards")
    hasty.close()
    assert events(store) == ["afterwards"]


def test_a_writer_that_says_nothing_is_ended_by_the_server_and_a_reader_is_not(store: Store) -> None:
    question = text("SELECT current_setting('idle_in_transaction_session_timeout')")
    with store.writing() as tx:
        assert tx.execute(question).scalar() == "30s"
    with store.reading() as tx:
        assert tx.execute(question).scalar() == "0"


def test_a_writer_that_hangs_gives_up_its_turn(store: Store) -> None:
    other = Store(store.url)
    with pytest.raises(StoreUnavailable), store.writing() as tx:  # noqa: PT012 - it is noticed at the next statement
        deliveries.first_time(tx, "room", "never")
        tx.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
        enter(other, "another")
        deliveries.first_time(tx, "room", "never at all")
    other.close()
    assert events(store) == ["another"]


def test_two_houses_on_one_server_do_not_wait_for_each_other(store: Store, postgresql: Server) -> None:
    other = Store(postgresql.create("another_house", make_url(postgresql.url()).database or ""))
    with store.writing():
        enter(other, "one")
    other.close()


# What the server's administrator set


def test_the_rules_hold_whatever_the_database_is_set_to(store: Store) -> None:
    with psycopg.connect(libpq(store.url), autocommit=True) as administrator:
        name = administrator.info.dbname
        for setting in (
            "timezone = 'Asia/Tokyo'",
            "synchronous_commit = off",
            "default_transaction_isolation = 'repeatable read'",
        ):
            administrator.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    fresh = Store(store.url)
    with fresh.writing() as tx:
        shown = [tx.execute(text(f"SHOW {name}")).scalar() for name in ("timezone", "synchronous_commit")]
        assert shown == ["UTC", "on"]
        assert tx.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
    with fresh.reading() as tx:
        assert tx.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"
        assert tx.execute(text("SHOW transaction_read_only")).scalar() == "on"
    fresh.close()


def libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def test_a_lease_runs_by_the_servers_clock(store: Store) -> None:
    with store.writing() as tx:
        assert store.now(tx) == pytest.approx(time.time(), abs=30)
        tx.execute(insert(leases).values(name="a", holder="b", expires=store.now(tx)))
        assert store.now(tx) >= tx.execute(select(leases.c.expires)).scalar_one()


# Values


def test_text_with_nul_is_kept_without_it(store: Store) -> None:
    """What somebody sends with one must become a dead letter, not stop a room."""
    with store.writing() as tx:
        EmbeddedBus(store, {}).append(tx, [Record("topic", "a\0b", b"\0", {"h": b"\0\xff"})])
        found = tx.execute(select(outbox)).one()
        assert (found.key, found.value, found.headers) == ("a\ufffdb", b"\0", {"h": "\0\xff"})
        assert deliveries.first_time(tx, "room", "a\0b")
        assert deliveries.handled(tx, "room", ["a\0b"])


def test_a_value_that_is_too_large_for_an_index_is_the_events_fault(store: Store) -> None:
    with pytest.raises(DataError), store.writing() as tx:
        deliveries.first_time(tx, "room", "".join(f"{number:x}" for number in range(5000)))


# A server that goes and comes


def test_a_connection_that_breaks_is_an_outage_and_the_next_transaction_works(store: Store) -> None:
    enter(store, "before")
    with pytest.raises(StoreUnavailable), store.writing() as tx:  # noqa: PT012 - who knows where it is noticed
        deliveries.first_time(tx, "room", "lost")
        send_away(store)
        deliveries.first_time(tx, "room", "lost too")
    enter(store, "after")
    send_away(store)
    assert events(store) == ["after", "before"]
    send_away(store)
    enter(store, "later")


def send_away(store: Store) -> None:
    """End every connection of this store."""
    with psycopg.connect(libpq(store.url), autocommit=True) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_what_was_committed_outlives_a_server_that_is_killed(store: Store, postgresql: Server) -> None:
    enter(store, "before")
    with pytest.raises(StoreUnavailable), store.writing() as tx:  # noqa: PT012 - so too
        deliveries.first_time(tx, "room", "lost")
        postgresql.kill()
        deliveries.first_time(tx, "room", "lost too")
    try:
        with pytest.raises(StoreUnavailable, match="refused"):
            enter(store, "while it is away")
    finally:
        postgresql.start()
    enter(store, "after")
    assert events(store) == ["after", "before"]


# Who is let in


def test_a_server_that_is_absent_may_come_back() -> None:
    store = Store(f"postgresql://me:secret@127.0.0.1:{free_ports(1)[0]}/overread")
    with pytest.raises(StoreUnavailable, match=r"postgresql://me@127\.0\.0\.1:\d+/overread.*refused") as caught:
        enter(store, "one")
    assert "secret" not in whole(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "secret"}, "password authentication failed"),
        ({"username": "nobody", "password": "secret"}, "password authentication failed"),
        ({"database": "none-such"}, "does not exist"),
        ({"query": {"passfile": "/dev/null"}}, "no password supplied"),
        ({"query": {"no_such_option": "secret"}}, "option"),
    ],
    ids=["wrong password", "unknown user", "unknown database", "no password", "unknown option"],
)
def test_who_is_not_let_in_is_told_why(postgresql: Server, change: dict[str, object], said: str) -> None:
    store = Store(make_url(postgresql.url()).set(**change).render_as_string(hide_password=False))  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match=f"store_url: .*{said}") as caught:
        enter(store, "one")
    assert "secret" not in whole(caught.value)
    store.close()


def whole(error: BaseException | None) -> str:
    """All that a traceback would say."""
    return "" if error is None else f"{error} {error!r} {whole(error.__cause__)}"


def test_a_right_that_is_missing_is_the_operators_to_give(store: Store) -> None:
    with psycopg.connect(libpq(store.url), autocommit=True) as administrator:
        administrator.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
    url = make_url(store.url).set(username="reader", password="secret")  # noqa: S106 - a test's own
    weak = Store(url.render_as_string(hide_password=False))
    with pytest.raises(Misconfigured, match="permission denied"):
        enter(weak, "one")
    weak.close()


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Misconfigured, match=r"pip install 'overread\[postgresql\]'"):
        Store("postgresql://me@host/overread")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host:5433/overread",
        "postgresql://me@host:5433/overread?password=secret",
        "postgresql://me@host:5433/overread?sslpassword=secret&passfile=/etc/secret",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    store = Store(url)
    assert store.place == shown(url) == "postgresql://me@host:5433/overread"
    assert "secret" not in f"{store.engine.url!r}".partition("?")[0]


def test_the_doctor_sees_the_store_and_shows_no_password(store: Store) -> None:
    def seen(url: str) -> tuple[str, str]:
        (check,) = (check for check in examine(Settings(store_url=url)) if check.what == "store")
        return check.state, f"{check}"

    assert seen(store.url)[0] == "ok"
    state, words = seen(f"postgresql://me:secret@127.0.0.1:{free_ports(1)[0]}/overread")
    assert state == "missing"
    assert "secret" not in words
    assert "refused" in words
