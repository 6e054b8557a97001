"""Owners' channels and mail: Apprise with our own channel, the folder, the server's faults, and the twins."""

import logging
import smtplib
import socket
import socketserver
import threading
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.delivery.backoff import retry_delay
from rules.delivery.config import DeliveryConfig, MailFolderSettings, SmtpSettings
from rules.delivery.errors import DeliveryConfigurationError, DeliveryError, UndeliverableError
from rules.delivery.mail import MailFolder, MemoryMail, SmtpMail, new_mail, open_mail
from rules.delivery.owner_channel import AppriseChannel, MemoryChannel, OwnerChannel, mail_address_url
from rules.delivery.receiver import Receiver
from rules.delivery.texts import Notice

NOTICE = Notice(key="alert/1/owner", title="Blue Polo: brake pad", text="Eight per cent left.\n\nSee: x", urgent=True)


def channel(mail: MemoryMail) -> AppriseChannel:
    return AppriseChannel(mail=mail, sender="us@example.org", timeout=timedelta(seconds=60))


def test_mail_channel_uses_the_systems_own_mail() -> None:
    mail = MemoryMail()
    channel(mail).send(mail_address_url("ada+car@example.org"), NOTICE)
    channel(mail).send("mail://bob@example.org", NOTICE)
    first, second = mail.sent
    assert first["To"] == "ada+car@example.org"
    assert first["From"] == "us@example.org"
    assert first["Subject"] == NOTICE.title
    assert first.get_content().strip() == NOTICE.text
    assert first["Message-ID"] != second["Message-ID"]


def test_a_mail_that_fails_says_why_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def down() -> None:
        raise DeliveryError("mail server did not take it")

    with pytest.raises(DeliveryError, match="mail:// channel did not take the message: mail server did not take it"):
        channel(MemoryMail(down)).send("mail://ada@example.org", NOTICE)
    assert "ada" not in caplog.text


def test_json_channel_posts_to_the_receiver() -> None:
    with Receiver({}) as receiver:
        channel(MemoryMail()).send(f"json://127.0.0.1:{receiver.port}/owner/ada", NOTICE)
        (received,) = receiver.received
    assert received.path == "/owner/ada"
    assert (received.body["title"], received.body["message"]) == (NOTICE.title, NOTICE.text)
    assert received.body["type"] == "warning"


def test_an_end_that_is_not_there_fails_without_telling_the_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as bound:  # and does not listen; nobody else can meanwhile
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(DeliveryError, match="json:// channel did not take the message: failure") as caught:
            channel(MemoryMail()).send(f"json://127.0.0.1:{port}/owner/ada", NOTICE)
    assert "ada" not in str(caught.value)
    assert "owner/ada" not in "".join(record.getMessage() for record in caplog.records if record.name == "apprise")


@pytest.mark.parametrize("address", ["nonsense://x", "", "mailto://", "no address at all"])
def test_an_address_nobody_understands_is_given_up(address: str) -> None:
    with pytest.raises(UndeliverableError, match="not one Apprise understands"):
        channel(MemoryMail()).send(address, NOTICE)


def test_the_twin_keeps_what_is_sent() -> None:
    twin = MemoryChannel()
    port: OwnerChannel = twin
    port.send("x://y", NOTICE)
    assert twin.sent == [("x://y", NOTICE)]


def test_the_folder_keeps_one_file_however_often_sent(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "mail")
    for _ in range(2):
        mail = new_mail(sender="us@example.org", to="ada@example.org", subject="Über\n alles", key="k")
        mail.set_content("Grüße")
        folder.send(mail)
    (file,) = (tmp_path / "mail").iterdir()
    assert file.suffix == ".eml"
    assert file.stat().st_mode & 0o077 == 0
    read = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert (read["subject"], read.get_content().strip()) == ("Über alles", "Grüße")


def test_a_folder_that_is_gone_is_a_delivery_error(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "mail")
    (tmp_path / "mail").rmdir()
    with pytest.raises(DeliveryError, match="did not take the mail: No such file"):
        folder.send(new_mail(sender="a@example.org", to="b@example.org", subject="", key="k"))


def test_an_address_cannot_forge_headers() -> None:
    with pytest.raises(UndeliverableError, match="not one of mail"):
        new_mail(sender="us@example.org", to="ada@example.org\nBcc: all@example.org", subject="x", key="k")


class _MailServer(socketserver.StreamRequestHandler):
    """As much of a mail server (RFC 5321) as one mail needs."""

    commands: ClassVar[list[str]] = []
    mails: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            self.commands.append(line.decode().strip())
            match line[:4].upper():
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (line := self.rfile.readline()) != b".\r\n":
                        lines.append(line)
                    self.mails.append(b"".join(lines))
                    self.wfile.write(b"250 taken\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 ok\r\n")


def test_a_mail_server_takes_the_mail() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _MailServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        mail = new_mail(sender="us@example.org", to="ada@example.org", subject="Über alles", key="k")
        mail.set_content("Grüße")
        SmtpMail(SmtpSettings(host="127.0.0.1", port=server.server_address[1], security="none")).send(mail)
        server.shutdown()
    sent = [command.lower() for command in _MailServer.commands]  # smtplib of Python 3.13 writes them small
    assert "rcpt to:<ada@example.org>" in sent
    (taken,) = _MailServer.mails
    read = message_from_bytes(taken, policy=policy.default)
    assert (read["subject"], read.get_content().strip()) == ("Über alles", "Grüße")


def test_a_mail_server_that_is_not_there_is_a_delivery_error() -> None:
    mail = new_mail(sender="us@example.org", to="ada@example.org", subject="x", key="k")
    with socket.socket() as bound:  # and does not listen; nobody else can meanwhile
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(DeliveryError, match=f"mail server 127.0.0.1:{port} did not take the mail") as caught:
            SmtpMail(SmtpSettings(host="127.0.0.1", port=port, security="none")).send(mail)
    assert "ada" not in str(caught.value)


def test_what_a_mail_server_says_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise smtplib.SMTPResponseException(550, b"no ada@example.org here")

    monkeypatch.setattr(smtplib, "SMTP", refuse)
    mail = new_mail(sender="us@example.org", to="ada@example.org", subject="x", key="k")
    with pytest.raises(DeliveryError, match="SMTPResponseException 550") as caught:
        SmtpMail(SmtpSettings(host="mail.example.org")).send(mail)
    assert "ada" not in str(caught.value)


def test_settings_choose_the_mail_transport(tmp_path: Path) -> None:
    assert isinstance(open_mail(MailFolderSettings(folder=tmp_path / "mail")), MailFolder)
    assert isinstance(open_mail(SmtpSettings(host="mail.example.org")), SmtpMail)


def delivery_config(tmp_path: Path, **changes: object) -> DeliveryConfig:
    values: dict[str, object] = {
        "database_url": "postgresql://x:secret@y/z",
        "portal_url": "https://cars.example.org",
        "link_secret": "sixteen letters and more",
        "mail": MailFolderSettings(folder=tmp_path),
        "vehicle_link": lambda _owner_id, _vehicle_id, _now: "https://cars.example.org/car",
    }
    return DeliveryConfig(**{**values, **changes})  # type: ignore[arg-type]  # wrong values are what is tested


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"portal_url": "https://cars.example.org/"}, "without a slash"),
        ({"portal_url": "cars.example.org"}, "portal_url must be like"),
        ({"link_secret": "short"}, "link_secret is shorter"),
        ({"workers": 0}, "workers"),
        ({"lease": timedelta(seconds=1)}, "lease must be longer"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(DeliveryConfigurationError, match=words):
        delivery_config(tmp_path, **changes)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(delivery_config(tmp_path))
    assert "postgresql" not in shown
    assert "sixteen" not in shown


FIRST, LONGEST = timedelta(seconds=5), timedelta(hours=1)


def test_delays_double_up_to_the_longest() -> None:
    whole = [retry_delay(n, first=FIRST, longest=LONGEST, jitter=1.0).total_seconds() for n in range(1, 12)]
    assert whole == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
    assert retry_delay(1, first=FIRST, longest=LONGEST, jitter=0.0) == FIRST / 2
    with pytest.raises(ValueError, match="nothing to wait for"):
        retry_delay(0, first=FIRST, longest=LONGEST, jitter=0.0)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_delays_stay_within_bounds(attempts: int, jitter: float) -> None:
    delay = retry_delay(attempts, first=FIRST, longest=LONGEST, jitter=jitter)
    assert FIRST / 2 <= delay <= LONGEST


@pytest.mark.parametrize(
    "to",
    ["", "foo@", "@", "a@[1", '"', "a,b@example.org", "Ada <ada@example.org>", ":;@x", "a..b@example.org", "=?x?@b"],
)
def test_an_address_that_is_none_is_given_up_and_stops_nobody(to: str) -> None:
    with pytest.raises(UndeliverableError, match="not one of mail"):
        new_mail(sender="us@example.org", to=to, subject="x", key="k")


@given(st.text(st.sampled_from('ab@@..=?<>()[]",;:\\ \t\n'), max_size=12))
def test_whatever_the_address_there_is_a_mail_or_a_reason(to: str) -> None:
    try:
        mail = new_mail(sender="us@example.org", to=to, subject="x", key="k")
    except UndeliverableError:
        return
    assert mail["To"] == to
    assert mail.as_bytes()


@pytest.mark.parametrize("to", ["anna.b+x@example.org", "o'neil@ex-ample.co.uk", "a=b@example.org", "root@localhost"])
def test_usual_addresses_are_taken(to: str) -> None:
    assert new_mail(sender="us@example.org", to=to, subject="x", key="k")["To"] == to
