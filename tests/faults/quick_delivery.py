"""``wearcast rules deliver`` with shorter times: nothing tells it that a receiver is back within the second."""

from dataclasses import replace
from datetime import timedelta
from typing import Final
from unittest import mock

from rules.delivery.config import DeliveryConfig
from tests.faults.patience import PATIENCE
from wearcast.cli import main
from wearcast.services import delivery_config
from wearcast.settings import Settings

SEND_SECONDS: Final = 2.0 * PATIENCE  # instead of 15: what a receiver may take for its answer
LEASE_SECONDS: Final = 3.0 * PATIENCE  # instead of 300: after that a dead process's message is sent again


def quick(settings: Settings, database_url: str) -> DeliveryConfig:
    """The delivery's configuration, quicker than on the road."""
    return replace(
        delivery_config(settings, database_url),
        poll_interval=timedelta(milliseconds=100),
        send_timeout=timedelta(seconds=SEND_SECONDS),
        lease=timedelta(seconds=LEASE_SECONDS),
        first_retry=timedelta(milliseconds=300),
        longest_retry=timedelta(seconds=2),
    )


if __name__ == "__main__":
    with mock.patch("wearcast.services.delivery_config", quick):
        main()
