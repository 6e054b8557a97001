"""What is left of a change when something ends, hides or lies in the middle of it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from ingest import registry
from ingest.brokers import mosquitto, nats, reload
from ingest.brokers.access import read_access
from ingest.brokers.branch import Access, Permitted
from ingest.brokers.disconnect import intruders
from ingest.brokers.folder import Kind, Setup, unfinished, write_broker
from ingest.brokers.watch import Lately, WatchConfig, look
from ingest.database import Connection
from ingest.enrolment import store
from ingest.errors import BrokerError
from tests.integration.ingest_support import register_car
from tests.noting_client import HOST
from tests.security.fortress import KINDS, Client, fortress_of

pytestmark = [pytest.mark.broker, pytest.mark.database]

USERS = {"nats": nats.USERS_FILE, "mosquitto": mosquitto.ACL_FILE}


def has_gone(client: Client) -> bool:
    return client.disconnections > 0


class Ended(BaseException):
    """The process is killed here."""


def end(*_: object) -> bool:
    raise Ended


def stopped(folder: Path, kind: Kind = "nats", *devices: str) -> Setup:
    """The folder of a broker that does not run."""
    folder.mkdir(exist_ok=True)
    setup = Setup(kind=kind, pid_file=folder / "pid", services=("ingest",), control=f"{HOST}:1", ca=folder / "ca.pem")
    permitted = tuple(Permitted(device=device, generation=0) for device in devices)
    write_broker(folder, setup, nats.MAIN_FILE, "", Access(permitted=permitted))
    return setup


@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_goes_on_where_the_watch_was_killed(
    kind: Kind, connection: Connection, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_car(connection, "car-1")
    connection.commit()
    with fortress_of(kind, tmp_path, "car-1", "car-2") as running:
        config = WatchConfig(database_url=database_url, folder=running.folder)
        with running.device("car-1") as good, running.device("car-2", again=False) as removed:
            for place in ("ingest.brokers.reload.tell", "ingest.brokers.watch.take_places"):
                with monkeypatch.context() as patched:
                    patched.setattr(place, end)
                    try:
                        await look(config, running.setup)
                    except Ended:
                        assert unfinished(running.folder) is not None
            assert "car-2" not in (running.folder / USERS[kind]).read_text()
            await look(config, running.setup)
            await asyncio.to_thread(removed.until, lambda: removed.disconnections > 0)
            assert good.disconnections == 0
        assert unfinished(running.folder) is None
        assert not (await look(config, running.setup)).told


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_that_starts_meanwhile_is_told_afterwards(kind: Kind, tmp_path: Path) -> None:
    with fortress_of(kind, tmp_path, "car-1", "car-2") as running:
        pid = running.setup.pid_file.read_text()
        running.setup.pid_file.unlink()  # not written yet; the users are read already
        running.permit(Permitted(device="car-1", generation=0))
        assert not running.apply().told
        running.setup.pid_file.write_text(pid)
        applied = running.apply()
        assert applied.told
        assert not applied.changed
        assert running.reloads == 1


def test_an_empty_database_shuts_nobody_out(connection: Connection, tmp_path: Path) -> None:
    setup = stopped(tmp_path, "mosquitto", "car-1")
    before = (tmp_path / mosquitto.ACL_FILE).read_text()
    with pytest.raises(BrokerError, match="WEARCAST_DATABASE_URL"):
        reload.apply(tmp_path, setup, read_access(connection))
    assert (tmp_path / mosquitto.ACL_FILE).read_text() == before
    register_car(connection, "car-1")
    connection.execute("UPDATE device SET enabled = false")  # the registry is ours, and lets nobody in
    reload.apply(tmp_path, setup, read_access(connection))
    assert "car-1" not in (tmp_path / mosquitto.ACL_FILE).read_text()


def test_a_file_that_is_damaged_is_written_again(tmp_path: Path) -> None:
    with fortress_of("nats", tmp_path, "car-1") as running:
        users = running.folder / nats.USERS_FILE
        whole = users.read_bytes()
        for damaged in (b"\xff\xfe", whole[: len(whole) // 2], b""):
            users.write_bytes(damaged)
            assert running.apply().told
            assert users.read_bytes() == whole
        with running.device("car-1") as device:
            assert device.is_connected


def test_a_check_that_takes_for_ever_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = stopped(tmp_path, "nats", "car-1")
    before = (tmp_path / nats.USERS_FILE).read_text()
    monkeypatch.setattr(reload, "_VALIDATION_SECONDS", 0)
    with pytest.raises(BrokerError, match="nothing was changed"):
        reload.apply(tmp_path, setup, Access(permitted=()))
    assert (tmp_path / nats.USERS_FILE).read_text() == before


def test_a_broker_that_is_hidden_is_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fortress_of("mosquitto", tmp_path, "car-1") as running:
        running.permit()
        with monkeypatch.context() as patched:
            patched.setattr(reload, "_program", lambda _pid: None)  # as /proc shows it to another user
            with pytest.raises(BrokerError, match="ProtectProc"):
                reload.apply(running.folder, running.setup, running.access)
        assert running.apply().told


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"HTTP/1.1 200 OK\r\n\r\n[]"])
async def test_a_server_that_ends_while_it_answers_ends_no_watch(said: bytes, tmp_path: Path) -> None:
    with answering(said) as port:
        setup = Setup(kind="nats", pid_file=tmp_path / "pid", services=(), control=f"{HOST}:{port}", ca=tmp_path)
        with pytest.raises(BrokerError, match="does not say who is connected"):
            await intruders(setup, {"car-1"})


@contextmanager
def answering(said: bytes) -> Iterator[int]:
    """A server that says this, whatever it is asked, and hangs up."""
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


async def test_mosquitto_lets_none_stay_whose_certificate_is_not_yet_or_never_in_the_list(
    connection: Connection, database_url: str, tmp_path: Path
) -> None:
    """Revoked before the list is signed, or disabled: the handshake takes them, and the watch ends them again."""
    for device in ("car-1", "car-2", "car-3"):
        register_car(connection, device)
    connection.commit()
    with fortress_of("mosquitto", tmp_path, "car-1", "car-2", "car-3") as running:
        config, lately = WatchConfig(database_url=database_url, folder=running.folder), Lately()
        good, revoked, disabled = (running.device(device, again=False) for device in ("car-1", "car-2", "car-3"))
        store.revoke(connection, "car-2", reason="stolen", now=datetime.now(UTC))
        registry.update_device(connection, "car-3", enabled=False)
        connection.commit()
        for _ in range(2):
            await look(config, running.setup, lately)
            for out in (revoked, disabled):
                await asyncio.to_thread(out.until, partial(has_gone, out))
                out.close()
            revoked, disabled = (running.device(device, again=False) for device in ("car-2", "car-3"))
            assert revoked.is_connected
        assert good.disconnections == 0
        for client in (good, revoked, disabled):
            client.close()


def test_who_is_let_in_again_or_was_shut_out_long_ago_is_left_alone() -> None:
    lately = Lately(seconds=60)
    assert lately.of(["a", "b"], (), 0.0) == ["a", "b"]
    assert lately.of(["c"], {"a"}, 30.0) == ["b", "c"]
    assert lately.of([], (), 60.0) == ["c"]
