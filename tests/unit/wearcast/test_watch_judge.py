"""What is wrong with the whole: each condition at its limit, and that a healthy night is no alert."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wearcast.watch.facts import Broker, Database, Delivery, Disk, Facts, Fleet, Process, Wipes
from wearcast.watch.judge import NEEDED, duration, judge, size

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def process(kind: str, **other: object) -> Process:
    return replace(
        Process(
            process=kind,
            instance="one",
            host="box",
            pid=7,
            version="1",
            started_at=NOW,
            beat_age_s=3.0,
            gone=False,
            alive=True,
            problems=(),
            listens=None,
        ),
        **other,  # type: ignore[arg-type]  # fields by name
    )


HEALTHY = Facts(
    now=NOW,
    processes=tuple(process(kind) for kind in NEEDED),
    fleet=Fleet(sending=50, parked=900, silent=2, away=30, never=4),
    rejected={"malformed": 100},
    rules_due_s=1.0,
    delivery=Delivery(),
    database=Database(size_bytes=10**9, connections=10, connections_limit=100, rollup_pending_s=60.0),
    broker=Broker(used_bytes=10, limit_bytes=100),
    disks=(Disk(name="broker", size_bytes=100, free_bytes=10),),
)
RATES = {"wearcast_ingest_lag_seconds_sum": 610.0, "wearcast_ingest_lag_seconds_count": 10.0}


def keys(**other: object) -> list[str]:
    return [alert.key for alert in judge(replace(HEALTHY, **other))]  # type: ignore[arg-type]  # fields by name


def test_a_night_in_which_nearly_all_are_parked_is_no_alert() -> None:
    assert keys() == []


@pytest.mark.parametrize(
    ("fleet", "alerts"),
    [
        (Fleet(sending=1, silent=2), []),  # one or two cars in a garage
        (Fleet(sending=7, silent=3), []),  # exactly the share
        (Fleet(sending=6, silent=3), ["silent-fleet"]),
        (Fleet(parked=900, silent=300, sending=10), []),
        (Fleet(sending=0, silent=40), ["silent-fleet"]),
        (Fleet(away=500, never=500), []),
        (Fleet(sending=30, outbox_older={3600: 3}), []),
        (Fleet(sending=29, outbox_older={3600: 3}), ["old-outboxes"]),
        (Fleet(sending=5, certificates_ending=1), ["certificates-end"]),
    ],
)
def test_fleet(fleet: Fleet, alerts: list[str]) -> None:
    assert keys(fleet=fleet) == alerts


def test_a_dongle_that_was_not_emptied_in_time_is_told_with_what_to_do() -> None:
    assert keys(wipes=Wipes(open=3, refused=1)) == []
    (alert,) = judge(replace(HEALTHY, wipes=Wipes(expired=2)))
    assert alert.key == "wipes-expired"
    assert "2 dongles" in alert.text
    assert "wearcast privacy wipes --done" in alert.advice


def test_processes() -> None:
    def of(**other: object) -> list[str]:
        return keys(processes=(*HEALTHY.processes, process("portal", **other)))

    assert of() == []
    assert of(gone=True) == ["process-gone:portal/one"]
    assert of(alive=False, problems=("event loop stands still",)) == ["process-stuck:portal/one"]
    assert of(problems=("broker: not connected",)) == ["process-troubled:portal/one"]
    assert keys(processes=HEALTHY.processes[1:]) == ["process-missing:ingest"]
    # One that is gone is not there; another of its kind that runs is enough.
    gone = process("ingest", gone=True)
    assert keys(processes=(gone, *HEALTHY.processes[1:])) == ["process-missing:ingest", "process-gone:ingest/one"]


@pytest.mark.parametrize(
    ("facts", "alerts"),
    [
        ({"processes": (*HEALTHY.processes, process("ingest", rates=RATES))}, ["ingest-lag"]),
        (
            {"processes": (*HEALTHY.processes, process("ingest", rates={"wearcast_ingest_inbox_refused_total": 0.1}))},
            ["ingest-inbox-full"],
        ),
        ({"rejected": {"malformed": 1, "unknown-device": 100}}, ["rejects"]),
        ({"rules_due_s": 301.0}, ["rules-behind"]),
        ({"delivery": Delivery(waiting=1, oldest_due_s=1801.0)}, ["delivery-stuck"]),
        ({"broker": None}, []),
        ({"broker": Broker(problem="no answer")}, ["broker-away"]),
        ({"broker": Broker(used_bytes=81, limit_bytes=100)}, ["broker-store"]),
        ({"broker": Broker(used_bytes=81, limit_bytes=None)}, []),
        ({"disks": (Disk(name="database", size_bytes=100, free_bytes=9),)}, ["disk:database"]),
        ({"disks": (Disk(name="database", problem="/x cannot be read"),)}, ["disk:database"]),
        ({"database": replace(HEALTHY.database, connections=81)}, ["database-connections"]),
        ({"database": replace(HEALTHY.database, rollup_pending_s=10801.0)}, ["rollups-behind"]),
        ({"database": replace(HEALTHY.database, rollup_pending_s=None)}, []),
    ],
)
def test_flow_and_stores(facts: dict[str, object], alerts: list[str]) -> None:
    assert keys(**facts) == alerts


def test_the_text_says_what_and_the_advice_what_to_do() -> None:
    (alert,) = judge(replace(HEALTHY, rejected={"malformed": 1, "unknown-device": 120}))
    assert alert.text == "121 messages were rejected within an hour, most of them as unknown-device"
    assert alert.advice == "see them with wearcast ingest rejected"


def test_numbers_in_words() -> None:
    assert [duration(seconds) for seconds in (0, 119, 120, 7199, 7200, 172_800)] == [
        "0 s",
        "119 s",
        "2 min",
        "120 min",
        "2 h",
        "2 days",
    ]
    assert [size(of) for of in (0, 999, 1000, 3_400_000_000, 5e15)] == ["0 B", "999 B", "1.0 kB", "3.4 GB", "5000.0 TB"]
