"""The demo's main flow: a backlog of months waits, cars go live, things break, slots are booked, books are compared."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ingest.database import connect
from ingest.reading_store import counts
from rules.delivery.receiver import Receiver
from wearcast.database import migrate
from wearcast.demo.audit import Audit, audit, samples_accepted
from wearcast.demo.cars import wear_normally
from wearcast.demo.errors import DemoError
from wearcast.demo.links import signin_links
from wearcast.demo.pasts import simulate_pasts
from wearcast.demo.people import Cast, register, webhook_secret
from wearcast.demo.stage import SERVICES, START_SECONDS, Stage, only_one_in, open_stage, write_agents
from wearcast.demo.story import HISTORY_DAYS, STORIES, WORKSHOPS
from wearcast.demo.watch import Watch
from wearcast.embedded.nats import Broker
from wearcast.embedded.timescaledb import private_database
from wearcast.keys import open_keys
from wearcast.output import print_rows
from wearcast.settings import load_settings

FOLDER = Path("build") / "demo"
# Limits for a slow and busy machine; an idle one needs a tenth of each.
_PAST_SECONDS = 600.0  # for a dongle to read the past of its car
_STORY_SECONDS = 240.0  # from going live; then the demo says what did not come about
_STOP_SECONDS = 60.0  # for a dongle to send what it holds and end
_DRAIN_SECONDS = 60.0
_SEND_SECONDS = 5.0
_OUTAGE_SECONDS = 2.0

Say = Callable[[str], None]


def run_demo(*, stay: bool) -> None:
    """Run all of it; DemoError if a story did not end as it should, or was not let to.

    ``stay``: keep the portal up until Ctrl-C, which is then a good end.
    """
    say = _teller()
    well = False
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    secrets = {workshop.key: webhook_secret(workshop) for workshop in WORKSHOPS}
    try:
        with (
            only_one_in(FOLDER),
            private_database(fresh=True, progress=say) as database,
            open_stage(FOLDER.absolute(), database.url) as stage,
            Receiver(secrets, file=FOLDER / "received.jsonl") as receiver,
        ):
            open_keys(load_settings(stage.environment))
            migrate(database.url)
            with connect(database.url) as connection:
                cast = register(connection, receiver.url)
            say(f"TimescaleDB is up; {len(STORIES)} cars, their owners and {len(WORKSHOPS)} workshops are registered")
            for name in SERVICES:
                if name != "ingest":
                    stage.start_service(name)
            configurations = _upload_past(stage, say)
            with stage.broker() as broker:
                backlog = samples_accepted(outboxes(stage.folder))
                _go_live(stage, configurations, say)
                watch = Watch(cast, receiver, stage.mail)
                _follow(stage, broker, database.url, watch, backlog, say)
                wear_normally(stage.garage)
                books = _settle(stage, configurations, database.url, cast, say)
                _tell(watch, books, say)
                well = True
                if stay:
                    _stay(stage, configurations, say)
    except KeyboardInterrupt:
        if not well:
            raise DemoError("interrupted before every story had ended; all processes are gone") from None
        say("ended; all processes are gone")


def _upload_past(stage: Stage, say: Say) -> dict[str, tuple[Path, Path]]:
    """Simulate the cars' months, and let each dongle read them while the broker is away."""
    say(f"simulating the past {HISTORY_DAYS} days of each car")
    configurations = write_agents(stage, simulate_pasts(stage))
    say("the dongles read them")
    for device, (backlog, _) in configurations.items():
        stage.start_agent(device, backlog)
    for device in configurations:
        if stage.processes[f"agent-{device}"].wait(_PAST_SECONDS) != 0:
            raise DemoError(f"the agent of {device} could not read its past; see {stage.folder / 'logs'}")
    say("the past waits in the dongles' outboxes: there was no broker all that time")
    return configurations


def _go_live(stage: Stage, configurations: dict[str, tuple[Path, Path]], say: Say) -> None:
    stage.start("garage", ("agent", "garage", stage.garage))
    stage.start_service("ingest")
    stage.processes["garage"].wait_for_line("garage ready", START_SECONDS)
    for device, (_, live) in configurations.items():
        stage.start_agent(device, live)
    for name in SERVICES:
        stage.await_service(name)
    say(f"the broker is back and the cars drive; portal: {stage.environment['WEARCAST_PORTAL_URL']}")


def _follow(stage: Stage, broker: Broker, url: str, watch: Watch, backlog: int, say: Say) -> None:
    """Watch until every story has ended; break broker and worker when half of the backlog has arrived."""
    begun = time.monotonic()
    broken = False
    with connect(url, autocommit=True) as connection:
        while not watch.ended or not broken:
            for sentence in watch.look(connection):
                say(sentence)
            if not broken and counts(connection).samples >= backlog / 2:
                _break(stage, broker, say)
                broken = True
            stage.check_alive()
            if time.monotonic() - begun > _STORY_SECONDS:
                say("the time is over")
                return
            time.sleep(0.2)


def _break(stage: Stage, broker: Broker, say: Say) -> None:
    broker.kill()
    stage.kill("ingest")
    say("kill -9: broker and ingest worker are gone; the cars drive on")
    time.sleep(_OUTAGE_SECONDS)
    broker.restart()
    stage.start_service("ingest")
    stage.await_service("ingest")
    say("broker and ingest worker are back")


def _settle(stage: Stage, configurations: dict[str, tuple[Path, Path]], url: str, cast: Cast, say: Say) -> Audit:
    """Stop the cars' dongles and compare the books once their outboxes are empty."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    with connect(url, autocommit=True) as connection:
        while True:
            stage.stop([f"agent-{device}" for device in configurations], _STOP_SECONDS)
            books = audit(connection, outboxes(stage.folder), list(cast.vehicles.values()))
            if not books.waiting_batches or time.monotonic() > deadline:
                break
            # A dongle that is told to stop waits a moment for acknowledgements, and keeps what is left for next time.
            for device, (_, live) in configurations.items():
                stage.start_agent(device, live)
            time.sleep(_SEND_SECONDS)
    say(
        f"{books.sent} samples were accepted by the dongles, {books.stored} are in the database; lost "
        f"{books.sent - books.stored}, doubled {books.doubled}, gaps {books.gaps}, rejected {books.rejected} "
        f"({books.resent} batches came twice and were dropped)"
    )
    return books


def _tell(watch: Watch, books: Audit, say: Say) -> None:
    """Print the table; DemoError if anything is not as it should be."""
    print()
    print_rows(watch.outcomes(), as_json=False, title="What became of the cars")
    print()
    print_rows(watch.timings(), as_json=False, title="How long each step took, from when the cars went live")
    print()
    wrong = [
        f"{progress.story.label} ({', '.join(sorted(progress.unexpected)) or 'did not reach its end'})"
        for progress in watch.stories.values()
        if not progress.good
    ]
    if wrong:
        raise DemoError(f"not every story ended as it should: {'; '.join(wrong)}; logs: {FOLDER / 'logs'}")
    if not books.complete:
        raise DemoError(f"the books do not agree: {books}; logs: {FOLDER / 'logs'}")
    say("every story reached its end, the healthy car stayed silent, nothing was lost and nothing doubled")


def _stay(stage: Stage, configurations: dict[str, tuple[Path, Path]], say: Say) -> None:
    for device, (_, live) in configurations.items():
        stage.start_agent(device, live)
    say("the cars drive on; look around until Ctrl-C:")
    for who, link in signin_links(stage).items():
        print(f"  {who}: {link}")
    while sys.stdout.isatty():  # until the terminal is closed, at the latest
        stage.check_alive()
        time.sleep(1.0)


def outboxes(folder: Path) -> list[Path]:
    """The outboxes of all dongles."""
    return [folder / "dongles" / story.device / "outbox.sqlite" for story in STORIES]


def _teller() -> Say:
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:5.1f} s] {text}", flush=True)

    return say


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
