"""Operations: each figure is described, and what dashboard and alerts ask for exists and is judged alike."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from wearcast.watch import judge

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((DOCS / "operations" / "wearcast-dashboard.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((DOCS / "operations" / "wearcast-alerts.yaml").read_text(encoding="utf-8"))
ALERTS: list[dict[str, Any]] = RULES["groups"][0]["rules"]
# Of Prometheus alone: nobody tells of the watch's own end, and the database is where the others are kept.
OF_PROMETHEUS = {"watch-gone", "database-away"}
_NAME = re.compile(r"\bwearcast_[a-z_]+")
_LABELS = re.compile(r"(wearcast_[a-z_]+)\{([^}]*)\}")
_SUFFIX = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}


def exported() -> dict[str, tuple[str, ...]]:
    """Every series of the code by name, with its labels; importing the modules registers them."""
    for module in ("ingest.metrics", "rules.metrics", "portal.metrics", "wearcast.watch.metrics"):
        importlib.import_module(module)
    found: dict[str, tuple[str, ...]] = {}
    for collector in dict.fromkeys(REGISTRY._names_to_collectors.values()):
        if not isinstance(collector, MetricWrapperBase):
            continue
        for family in collector.describe():
            for suffix in _SUFFIX[family.type]:
                found[family.name + suffix] = tuple(collector._labelnames)
    return found


def queries() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return [*panels, *(rule["expr"] for rule in ALERTS)]


def test_each_figure_is_described_and_none_that_is_not_there() -> None:
    families = {name.removesuffix("_bucket") for name in exported() if not name.endswith(("_sum", "_count"))}
    tables = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `wearcast_"))
    assert set(_NAME.findall(tables)) == families


@pytest.mark.parametrize("query", queries())
def test_queries_ask_for_figures_and_labels_that_exist(query: str) -> None:
    exports = exported()
    names = set(_NAME.findall(query))
    assert names
    assert names <= set(exports), "there is no such figure"
    for name, matchers in _LABELS.findall(query):
        labels = {re.split(r"[=!~]", part)[0].strip() for part in matchers.split(",")}
        assert labels <= {*exports[name], "le"}, f"{name} has no such label"
    by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    known = {label for name in names for label in exports[name]}
    assert by <= {*known, "le", "instance"}


def test_each_figure_is_on_the_dashboard() -> None:
    shown = {name for query in queries() for name in _NAME.findall(query)}
    families = {name.removesuffix("_bucket") for name in exported() if not name.endswith(("_sum", "_count"))}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} >= families


def test_no_label_names_a_device_a_car_or_an_owner() -> None:
    labels = {label for of_one in exported().values() for label in of_one}
    assert not labels & {"device", "device_id", "vehicle", "vehicle_id", "owner", "owner_id", "topic", "address"}


def test_prometheus_and_the_status_know_the_same_conditions() -> None:
    told = [rule["labels"]["condition"] for rule in ALERTS]
    assert len(told) == len(set(told))
    assert set(told) == judge.CONDITIONS | OF_PROMETHEUS
    assert {rule["alert"] for rule in ALERTS} == {
        "Wearcast" + "".join(word.capitalize() for word in condition.split("-")) for condition in told
    }


def test_every_alert_says_what_to_do_and_is_explained() -> None:
    for rule in ALERTS:
        assert rule["annotations"]["what_to_do"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert f"`{rule['labels']['condition']}`" in PAGE


def test_limits_of_status_and_prometheus_are_the_same() -> None:
    expressions = {rule["labels"]["condition"]: rule["expr"] for rule in ALERTS}
    limits = {
        "ingest-lag": judge.LAG_S,
        "rejects": judge.REJECTED_PER_HOUR,
        "rules-behind": judge.RULES_DUE_S,
        "delivery-stuck": judge.DELIVERY_DUE_S,
        "silent-fleet": judge.SILENT_SHARE,
        "old-outboxes": judge.OLD_OUTBOX_SHARE,
        "broker-store": judge.STORE_FULL,
        "disk": judge.DISK_FREE,
        "database-connections": judge.CONNECTIONS_FULL,
        "rollups-behind": judge.ROLLUP_PENDING_S,
    }
    for condition, limit in limits.items():
        assert float(re.split(r"[<>]=? ?", expressions[condition])[-1]) == limit


def test_dashboard_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert all(0 <= x < 24 for x, _ in places)
