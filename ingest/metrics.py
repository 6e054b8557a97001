"""What the intake counts and measures. A handful of calls per group, none per message; no label names a device."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_COMMIT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds
_LAG_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600)  # seconds

MESSAGES: Final = Counter("wearcast_ingest_messages", "Messages committed, with duplicates and rejected ones")
BATCHES: Final = Counter("wearcast_ingest_batches", "Batches stored")
SAMPLES: Final = Counter("wearcast_ingest_samples", "Samples stored")
DUPLICATES: Final = Counter("wearcast_ingest_duplicates", "Batches dropped because they were stored before")
REJECTED: Final = Counter("wearcast_ingest_rejected", "Messages stored as rejected", ["reason"])
ACKNOWLEDGED: Final = Counter("wearcast_ingest_acknowledged", "Acknowledgements published, one per device and group")
GROUP_MESSAGES: Final = Histogram(
    "wearcast_ingest_group_messages", "Messages per transaction", buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
)
BATCH_SAMPLES: Final = Histogram(
    "wearcast_ingest_batch_samples",
    "Samples per batch, the mean of each transaction",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 300, 1000),
)
COMMIT_SECONDS: Final = Histogram(
    "wearcast_ingest_commit_seconds", "Time one transaction took, from decoding to the commit", buckets=_COMMIT_BUCKETS
)
LAG_SECONDS: Final = Histogram(
    "wearcast_ingest_lag_seconds",
    "From receiving to the commit, of the message that waited longest in each transaction",
    buckets=_LAG_BUCKETS,
)
SAMPLE_AGE_SECONDS: Final = Histogram(
    "wearcast_ingest_sample_age_seconds",
    "Age at the commit of the newest sample of each transaction: all the way from the car",
    buckets=_LAG_BUCKETS,
)
INBOX_MESSAGES: Final = Gauge("wearcast_ingest_inbox_messages", "Messages received and not yet being stored")
INBOX_REFUSED: Final = Counter("wearcast_ingest_inbox_refused", "Messages left to be sent again: the inbox was full")
BROKER_CONNECTED: Final = Gauge("wearcast_ingest_broker_connected", "Whether the broker is there: 1 or 0")
LIMITED: Final = Counter(
    "wearcast_ingest_limited", "Messages left to be sent again: their device is over its limit or kept out"
)
BLOCKED: Final = Counter("wearcast_ingest_blocked", "Devices kept out for a time", ["offence"])
CLOCK_AHEAD_SECONDS: Final = Gauge(
    "wearcast_ingest_clock_ahead_seconds", "How far this machine's clock is ahead of the database's"
)
FAILURES: Final = Counter("wearcast_ingest_failures", "Attempts that failed and are repeated", ["of"])
