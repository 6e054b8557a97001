import re
from dataclasses import replace
from uuid import UUID

from telemetry.records import BatchKey
from telemetry.trace import trace_id, traceparent

KEY = BatchKey(device="wc-1", boot=UUID("c0ffee00-0000-4000-8000-000000000001"), sequence=7)


def test_a_batch_has_the_same_id_on_both_ends_and_no_other_batch_has_it() -> None:
    others = (replace(KEY, device="wc-2"), replace(KEY, sequence=8), replace(KEY, boot=UUID(int=1)))
    assert trace_id(KEY) == "14aecf5fe2c8e51d52198e2f65f61cc5"
    assert len({trace_id(KEY), *map(trace_id, others)}) == 4


def test_the_parent_has_the_form_of_the_standard() -> None:
    parent = traceparent(trace_id(KEY), "alert 5")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent)
    assert parent != traceparent(trace_id(KEY), "alert 6")
