"""Who maintains: from every state of a server, each wish is reached by its actions, and then nothing is left to do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rollups.decision import Action, Found, Policies, decide

BARE = Found(license="apache", job=False, compression_policy=False, compression=False, compressed_chunks=0)
NATIVE = Found(license="timescale", job=True, compression_policy=True, compression=True, compressed_chunks=3)

_EFFECT: dict[Action, dict[str, object]] = {
    Action.REMOVE_JOB: {"job": False},
    Action.REMOVE_COMPRESSION_POLICY: {"compression_policy": False},
    Action.DECOMPRESS: {"compression": False, "compressed_chunks": 0},
    Action.ENABLE_COMPRESSION: {"compression": True},
    Action.ADD_COMPRESSION_POLICY: {"compression_policy": True},
    Action.ADD_JOB: {"job": True},
}


def carried_out(found: Found, wanted: Policies) -> Found:
    for action in decide(found, wanted).actions:
        if action in {Action.ADD_COMPRESSION_POLICY, Action.DECOMPRESS}:
            assert found.compression  # TimescaleDB refuses both without
        if action is Action.DECOMPRESS:
            assert not found.compression_policy  # or it would compress again meanwhile
        found = replace(found, **_EFFECT[action])  # type: ignore[arg-type]  # by name
    return found


def test_on_apache_our_process_does_it_without_touching_the_server() -> None:
    decision = decide(BARE)
    assert (decision.scheduler, decision.compressed, decision.actions, decision.fault) == ("process", False, (), None)


def test_on_timescale_the_database_does_it() -> None:
    decision = decide(replace(BARE, license="timescale"))
    assert (decision.scheduler, decision.compressed) == ("database", True)
    assert decision.actions == (Action.ENABLE_COMPRESSION, Action.ADD_COMPRESSION_POLICY, Action.ADD_JOB)
    assert decide(NATIVE).actions == ()


def test_on_timescale_our_own_is_had_by_asking_for_it() -> None:
    decision = decide(NATIVE, "own")
    assert (decision.scheduler, decision.compressed) == ("process", False)
    assert decision.actions == (Action.REMOVE_JOB, Action.REMOVE_COMPRESSION_POLICY, Action.DECOMPRESS)


def test_compressed_chunks_stop_maintenance_on_apache() -> None:
    """That edition reads them as empty: rolling up again would write nothing over what was right."""
    fault = decide(replace(NATIVE, license="apache")).fault
    assert fault is not None
    assert "3 chunks are compressed and read as empty" in fault
    assert "set timescaledb.license to timescale" in fault


def test_a_job_left_over_on_apache_is_told() -> None:
    decision = decide(replace(NATIVE, license="apache", compressed_chunks=0))
    assert (decision.actions, decision.fault) == ((), None)
    assert "a job left over cannot run" in decision.reason


@given(
    found=st.builds(
        Found,
        license=st.sampled_from(["apache", "timescale"]),
        job=st.booleans(),
        compression_policy=st.just(value=False),
        compression=st.booleans(),
        compressed_chunks=st.just(0),
    ).flatmap(
        lambda found: st.sampled_from(
            [found, replace(found, compression_policy=True, compressed_chunks=2)] if found.compression else [found]
        )
    ),
    wanted=st.sampled_from(["native", "own"]),
)
def test_deciding_again_after_the_actions_gives_none(found: Found, wanted: Policies) -> None:
    before = decide(found, wanted)
    after = decide(carried_out(found, wanted), wanted)
    assert after.actions == ()
    assert (after.scheduler, after.compressed) == (before.scheduler, before.compressed)


@pytest.mark.parametrize("wanted", ["native", "own"])
def test_a_wish_makes_no_difference_on_apache(wanted: Policies) -> None:
    assert decide(BARE, wanted) == decide(BARE)
