"""A broker of each kind, for each file of tests."""

from collections.abc import Iterator

import pytest

from ingest.brokers.branch import Permitted
from tests.security.fortress import KINDS, Fortress, fortress_of


@pytest.fixture(scope="module", params=KINDS)
def fortress(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    """A broker with two devices of generation 0, and one of generation 3."""
    home = tmp_path_factory.mktemp(request.param)
    with fortress_of(request.param, home, "car-1", "car-2", Permitted(device="car-g3", generation=3)) as running:
        yield running
