"""Pauses before a broker is tried again: at random below a bound that doubles."""

import random

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import UplinkConfig
from edge_agent.reconnect import ReconnectPauses
from tests.faults.herd import Outage, comes_back

UPLINK = UplinkConfig()


def test_the_bound_doubles_up_to_the_longest_and_falls_back_once_connected() -> None:
    pauses = ReconnectPauses(10.0, 60.0, jitter=lambda: 1.0)
    assert [pauses.next() for _ in range(5)] == [10.0, 20.0, 40.0, 60.0, 60.0]
    pauses.connected()
    assert pauses.next() == 10.0


@given(st.integers(0, 2**32 - 1))
def test_a_pause_lies_anywhere_below_its_bound(seed: int) -> None:
    pauses = ReconnectPauses(10.0, 60.0, jitter=random.Random(seed).random)
    for bound in (10.0, 20.0, 40.0, 60.0, 60.0):
        assert 0.0 <= pauses.next() <= bound


def test_ten_thousand_dongles_do_not_come_back_in_one_second() -> None:
    """Evenly spread over the first bound they would be 1,000 a second; after a long outage they are far fewer."""
    dongles = 10_000
    short = comes_back(Outage(dongles=dongles, outage_seconds=0, backlog=0, stored_per_second=1), UPLINK, seed=1)
    assert short.arrivals.total() == dongles
    assert short.most_arrivals < 1.2 * dongles / UPLINK.reconnect_min_seconds
    long = comes_back(Outage(dongles=dongles, outage_seconds=3_600, backlog=0, stored_per_second=1), UPLINK, seed=1)
    assert long.arrivals.total() == dongles
    # Of pauses even between 0 and a bound, what is left of them at a given moment is densest at 0: 2 / bound.
    assert long.most_arrivals < 1.5 * dongles * 2 / UPLINK.reconnect_max_seconds
    assert long.last_arrival <= UPLINK.reconnect_max_seconds


def test_what_is_new_is_stored_long_before_the_backlog_and_the_backend_is_not_buried() -> None:
    # Four times as long as the backlog takes to be stored, the line of a fixed window would hold 32 of each dongle.
    outage = Outage(dongles=300, outage_seconds=600, backlog=60, stored_per_second=60)
    seen = comes_back(outage, UPLINK, seed=2)
    assert len(seen.newest_delays) == outage.dongles
    assert max(seen.newest_delays) < seen.all_stored / 4
    assert seen.most_waiting < outage.dongles * UPLINK.window / 4
    assert seen.sent < 1.2 * outage.dongles * outage.backlog
