"""The stream in which NATS keeps what devices publish at QoS 1, and the one consumer that all workers share.

The server makes its stream ``$MQTT_msgs`` when the first device connects, without a bound; made before, it is taken as
it is. The stream keeps a message as long as somebody has still to receive it (interest), so the consumer must exist
before devices publish, or the broker confirms what nobody will get: the device then sends it again, as always.

No other stream may collect the same subjects: the PUBACK covers ``$MQTT_msgs`` alone.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from ingest.errors import BrokerError
from ingest.sources.nats_connection import NatsConfig, nats_connection
from ingest.sources.subjects import STORED, subject_of
from telemetry.topics import CHANNELS, PREFIX

STREAM: Final = "$MQTT_msgs"
CONSUMER: Final = "wearcast-ingest"
_BRANCH: Final = subject_of(PREFIX)
# What devices say. What is said to them (acks, commands) lies in the same stream and is not for workers.
FILTERS: Final = (
    *(f"{STORED}{_BRANCH}.*.{channel}" for channel in CHANNELS),
    f"{STORED}{_BRANCH}.*.results.>",
)
# Permissions of a worker's NATS user, in the server's words. Whoever runs `wearcast ingest prepare` needs
# $JS.API.STREAM.> and $JS.API.CONSUMER.> beside them.
WORKER_MAY_PUBLISH: Final = (
    f"$JS.API.CONSUMER.INFO.{STREAM}.{CONSUMER}",
    f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}",
    f"$JS.ACK.{STREAM}.{CONSUMER}.>",
    f"{_BRANCH}.*.acks",
    f"{_BRANCH}.*.commands.>",
    f"{STORED}{_BRANCH}.*.commands.>",
)
WORKER_MAY_SUBSCRIBE: Final = ("_INBOX.>",)
_PREPARE: Final = "run: wearcast ingest prepare"


@dataclass(frozen=True, kw_only=True)
class StreamLimits:
    """How much the cluster keeps, and how often a message comes back."""

    replicas: int = 3  # nodes that have each message; 1 on a single node
    most_bytes: int = 64 * 1024**3  # per node; beyond it devices get no PUBACK and keep what they have
    most_age: timedelta = timedelta(days=7)  # what a session that never comes back would hold for ever
    ack_wait: timedelta = timedelta(seconds=30)  # a message a worker took and did not settle goes to another
    most_unsettled: int = 50_000  # by all workers together


async def prepare(config: NatsConfig, limits: StreamLimits) -> None:
    """Make stream and consumer, or bring them to these limits. BrokerError where the broker does not allow it."""
    async with nats_connection(config, name="wearcast-prepare") as connection:
        context = connection.client.jetstream()
        try:
            try:
                await context.update_stream(_stream(limits))
            except nats.js.errors.NotFoundError:
                await context.add_stream(_stream(limits))
            await context.add_consumer(STREAM, _consumer(limits))
        except nats.js.errors.APIError as error:
            raise BrokerError(f"the broker does not make the stream {STREAM} ({error.description})") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise BrokerError(
                f"the broker gave no answer when asked for the stream {STREAM}: look whether JetStream is enabled, "
                "whether most nodes run, and whether the user may publish on $JS.API.>"
            ) from error


async def find_consumer(client: Client) -> ConsumerInfo:
    """The consumer of all workers; BrokerError says what to do where there is none."""
    try:
        found: ConsumerInfo = await client.jetstream().consumer_info(STREAM, CONSUMER)
    except nats.js.errors.NotFoundError as error:
        raise BrokerError(f"the broker has no consumer {CONSUMER} on the stream {STREAM}; {_PREPARE}") from error
    except nats.js.errors.APIError as error:
        raise BrokerError(f"the broker does not show the consumer {CONSUMER} ({error.description})") from error
    except (nats.errors.Error, TimeoutError) as error:
        raise BrokerError(
            f"the broker gave no answer about the consumer {CONSUMER}: most nodes are away, or the user of "
            f"WEARCAST_NATS_URL may not publish on {WORKER_MAY_PUBLISH[0]}"
        ) from error
    return found


def _stream(limits: StreamLimits) -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        subjects=[f"{STORED}>"],
        retention=RetentionPolicy.INTEREST,
        storage=StorageType.FILE,
        num_replicas=limits.replicas,
        max_bytes=limits.most_bytes,
        max_age=limits.most_age.total_seconds(),
        discard=DiscardPolicy.NEW,
    )


def _consumer(limits: StreamLimits) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=CONSUMER,
        description="what devices say, shared by all ingest workers",
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=limits.ack_wait.total_seconds(),
        max_ack_pending=limits.most_unsettled,
        filter_subjects=list(FILTERS),
        num_replicas=limits.replicas,
    )
