"""The generators: what each device may do, in both brokers' words, and that nothing can be smuggled in by a name."""

import json
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.brokers import mosquitto, nats
from ingest.brokers.branch import Access, Account, Permitted, subjects, subjects_heard

TLS = nats.TlsFiles(certificate=Path("/tls/a.pem"), key=Path("/tls/a-key.pem"), ca=Path("/tls/ca.pem"))
SECRET, OTHER = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
SERVICES = ("ingest",)
ACCOUNTS = (Account(name="ingest", password=SECRET),)
ACCESS = Access(permitted=(Permitted(device="car-1", generation=0), Permitted(device="car-2", generation=3)))


def users(access: Access) -> dict[str, dict[str, object]]:
    return {entry["user"]: entry for entry in json.loads(nats.users_text(access, SERVICES))["users"]}


def test_a_nats_user_is_a_certificate_of_one_generation_and_has_its_branch_alone() -> None:
    found = users(ACCESS)
    assert set(found) == {"CN=service.broker", "CN=service.ingest", "CN=car-1", "CN=car-2,OU=g3"}
    assert found["CN=car-2,OU=g3"] == {
        "user": "CN=car-2,OU=g3",
        "allowed_connection_types": ["MQTT"],
        "permissions": {
            "publish": {
                "allow": [f"wearcast.v1.car-2.{leaf}" for leaf in ("readings", "events", "status", "results.>")]
            },
            "subscribe": {"allow": [f"wearcast.v1.car-2.{leaf}" for leaf in ("acks", "commands", "commands.>")]},
        },
    }


def test_a_service_has_its_own_rights_and_nobody_a_password() -> None:
    assert "password" not in nats.users_text(ACCESS, SERVICES)
    permissions = users(ACCESS)["CN=service.ingest"]["permissions"]
    assert isinstance(permissions, dict)
    assert "wearcast.v1.*.readings" not in permissions["publish"]["allow"]
    assert "$JS.API.>" not in permissions["publish"]["allow"]


def test_a_cluster_has_routes_to_the_others_and_as_many_replicas() -> None:
    routes = {name: f"10.0.0.{number}:6222" for number, name in enumerate("abc", 1)}
    node = nats.Node(
        name="b",
        data=Path("/data"),
        tls=TLS,
        pid_file=Path("/run/nats.pid"),
        cluster=nats.Cluster(routes=routes, secret=SECRET),
    )
    text = nats.main_text(node)
    assert "stream_replicas: 3" in text
    assert 'listen: "10.0.0.2:6222"' in text
    assert [line.strip() for line in text.splitlines() if "tls://" in line] == [
        f'"tls://node:{SECRET}@10.0.0.1:6222"',
        f'"tls://node:{SECRET}@10.0.0.3:6222"',
    ]
    assert SECRET not in repr(node)


def test_mosquittos_acl_names_each_device_and_its_topics() -> None:
    text = mosquitto.acl_text(ACCESS, SERVICES)
    blocks = {block.splitlines()[0]: block.splitlines()[1:] for block in text.strip().split("\n\n")}
    assert set(blocks) == {"user ingest", "user CN=car-1", "user CN=car-2,OU=g3"}
    assert blocks["user CN=car-2,OU=g3"] == [
        *(f"topic write wearcast/v1/car-2/{leaf}" for leaf in ("readings", "events", "status", "results/#")),
        *(f"topic read wearcast/v1/car-2/{leaf}" for leaf in ("acks", "commands/#")),
    ]
    assert not any(line.startswith(("pattern", "topic readwrite")) for line in text.splitlines())


def test_a_dongle_that_is_to_be_emptied_hears_that_and_answers_and_no_more() -> None:
    access = Access(permitted=(), only_wiped=(Permitted(device="car-2", generation=3),))
    permissions = users(access)["CN=car-2,OU=g3"]["permissions"]
    assert permissions == {
        "publish": {"allow": ["wearcast.v1.car-2.status", "wearcast.v1.car-2.results.wipe"]},
        "subscribe": {"allow": ["wearcast.v1.car-2.commands.wipe"]},
    }
    assert mosquitto.acl_text(access, ()).splitlines() == [
        "user CN=car-2,OU=g3",
        "topic write wearcast/v1/car-2/status",
        "topic write wearcast/v1/car-2/results/wipe",
        "topic read wearcast/v1/car-2/commands/wipe",
        "",
    ]


def test_mosquittos_password_file_holds_no_password() -> None:
    text = mosquitto.passwords_text(ACCOUNTS)
    assert text.startswith("ingest:$7$")
    assert SECRET not in text
    assert text == mosquitto.passwords_text(ACCOUNTS)
    assert text != mosquitto.passwords_text((Account(name="ingest", password=OTHER),))


def test_secrets_are_not_in_reprs() -> None:
    assert SECRET not in repr(ACCOUNTS)


@given(st.text(max_size=70), st.integers(0, 5))
def test_no_name_adds_a_line_a_user_or_a_wildcard(name: str, generation: int) -> None:
    access = Access(permitted=(Permitted(device=name, generation=generation),))
    try:
        acl = mosquitto.acl_text(access, ())
    except ValueError:
        with pytest.raises(ValueError, match="device id"):
            nats.users_text(access, ())
        return
    assert len(acl.strip().splitlines()) == 7
    assert acl.count("#") == 2
    _, user = json.loads(nats.users_text(access, ()))["users"]
    allowed = [*user["permissions"]["publish"]["allow"], *user["permissions"]["subscribe"]["allow"]]
    assert all(subject.startswith(f"wearcast.v1.{name}.") for subject in allowed)


def test_subjects_of_filters() -> None:
    assert subjects(["wearcast/+/results/#"]) == ["wearcast.*.results.>"]
    assert subjects_heard(["a/commands/#", "a/acks"]) == ["a.commands", "a.commands.>", "a.acks"]
