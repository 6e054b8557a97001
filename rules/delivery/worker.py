"""The delivery workers: claim a message that is due, send it, note what became of it. At least once, in any number.

A message that fails comes back later and holds up no other; a worker that dies leaves its message to the others when
the lease ends. Logs carry the kind and the idempotency key, never an address or a text.
"""

import hashlib
import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from ingest.database import NOT_NOW, Connection, connect
from ingest.errors import PersonalDataError
from ingest.personal.access_log import Role, record_access
from ingest.personal.mask import mask_channel
from ingest.pulse import PULSE
from rules import metrics
from rules.booking.links import offer_token
from rules.clock import AgreedClock, Clock
from rules.delivery import addresses, outbox
from rules.delivery.backoff import retry_delay
from rules.delivery.config import DeliveryConfig
from rules.delivery.errors import DeliveryError, UndeliverableError
from rules.delivery.invitation import invitation_mail
from rules.delivery.mail import MailTransport, open_mail
from rules.delivery.messages import OwnerMessage, WorkshopMessage
from rules.delivery.outbox import Claimed
from rules.delivery.owner_channel import AppriseChannel, OwnerChannel, mail_address_url
from rules.delivery.texts import owner_notice
from rules.delivery.webhook import HttpWebhooks, WebhookTransport, cloud_event, signed_headers

log = logging.getLogger(__name__)

_M = TypeVar("_M", OwnerMessage, WorkshopMessage)


@dataclass(frozen=True, kw_only=True)
class Transports:
    """The ways out."""

    owners: OwnerChannel
    webhooks: WebhookTransport
    mail: MailTransport


def run_delivery(config: DeliveryConfig, stop: threading.Event, clock: Clock | None = None) -> None:
    """Deliver until ``stop`` is set; what is under way is finished first.

    A lost database is waited for, and a clock that is wrong.
    """
    clock = clock or AgreedClock()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole addresses, and some carry tokens
    mail = open_mail(config.mail)
    webhooks = HttpWebhooks(config.send_timeout)
    transports = Transports(
        owners=AppriseChannel(mail=mail, sender=config.sender, timeout=config.send_timeout),
        webhooks=webhooks,
        mail=mail,
    )
    ended = threading.Event()

    def work() -> None:
        try:
            _work(config, transports, clock, lambda: stop.is_set() or ended.is_set(), stop)
        finally:
            ended.set()  # one that breaks ends them all: a bug is seen and not lived with

    try:
        with ThreadPoolExecutor(max_workers=config.workers, thread_name_prefix="delivery") as pool:
            futures = [pool.submit(work) for _ in range(config.workers)]
            log.info("delivery ready")
            wait(futures, return_when=FIRST_COMPLETED)
            for future in futures:
                future.result()
    finally:
        webhooks.close()


def _work(
    config: DeliveryConfig, transports: Transports, clock: Clock, stopped: Callable[[], bool], stop: threading.Event
) -> None:
    failures = 0
    loop = threading.current_thread().name
    # One message may go to several channels, each of which may use its time out: the lease is made for that too.
    overdue_s = config.lease.total_seconds()
    while not stopped():
        try:
            with connect(config.database_url, application_name="wearcast delivery", autocommit=True) as connection:
                PULSE.well("database")
                while not stopped():
                    PULSE.turn(loop, overdue_s)
                    delivered = clock.agrees(connection) and deliver_next(connection, config, transports, clock())
                    failures = 0
                    if not delivered:
                        stop.wait(config.poll_interval.total_seconds())
        except NOT_NOW as error:
            failures += 1
            delay = retry_delay(
                failures, first=config.poll_interval, longest=config.first_retry, jitter=random.random()
            )
            PULSE.trouble("database", type(error).__name__)
            PULSE.turn(loop, overdue_s)
            log.warning("delivery lost the database (%s), trying again", type(error).__name__)
            stop.wait(delay.total_seconds())
    PULSE.ended(loop)


def deliver_next(connection: Connection, config: DeliveryConfig, transports: Transports, now: datetime) -> bool:
    """Deliver one message that is due at ``now``; False if there is none. The connection must be in autocommit mode."""
    claimed = outbox.claim(connection, now, config.lease)
    if claimed is None:
        return False
    metrics.DELIVERY_ATTEMPTS.labels(claimed.kind).inc()
    traced = {"trace_id": claimed.trace}
    try:
        with metrics.DELIVERY_SEND_SECONDS.labels(claimed.kind).time():
            _send(connection, config, transports, claimed, now)
    except UndeliverableError as error:
        outbox.mark_abandoned(connection, claimed.id, error=str(error), now=now)
        metrics.DELIVERY_FAILURES.labels(claimed.kind, "given_up").inc()
        log.warning("gave up %s %s: %s", claimed.kind, claimed.idempotency_key, error, extra=traced)
    except (DeliveryError, PersonalDataError) as error:
        if now - claimed.created_at >= config.give_up_after and claimed.attempts >= config.least_attempts:
            outbox.mark_abandoned(connection, claimed.id, error=str(error), now=now)
            metrics.DELIVERY_FAILURES.labels(claimed.kind, "given_up").inc()
            log.warning(
                "gave up %s %s after %d attempts",
                claimed.kind,
                claimed.idempotency_key,
                claimed.attempts,
                extra=traced,
            )
            return True
        metrics.DELIVERY_FAILURES.labels(claimed.kind, "later").inc()
        delay = retry_delay(
            claimed.attempts, first=config.first_retry, longest=config.longest_retry, jitter=random.random()
        )
        outbox.mark_failed(
            connection,
            claimed.id,
            error=str(error),
            next_attempt_at=now + delay,
            delivered_to=claimed.delivered_to,
        )
        log.warning(
            "could not deliver %s %s, attempt %d, next in %.0f s: %s",
            claimed.kind,
            claimed.idempotency_key,
            claimed.attempts,
            delay.total_seconds(),
            error,
            extra=traced,
        )
    else:
        outbox.mark_delivered(connection, claimed.id, now)
        metrics.DELIVERY_AGE_SECONDS.observe(max(0.0, (now - claimed.created_at).total_seconds()))
        log.info("delivered %s %s", claimed.kind, claimed.idempotency_key, extra=traced)
    return True


def _send(
    connection: Connection, config: DeliveryConfig, transports: Transports, claimed: Claimed, now: datetime
) -> None:
    match claimed.kind:
        case "owner_message":
            _send_to_owner(connection, config, transports, claimed, _read(claimed, OwnerMessage), now)
        case "workshop_webhook":
            assert claimed.workshop_id is not None  # a constraint of the table
            workshop = addresses.workshop(connection, claimed.workshop_id)
            if workshop.webhook_url is None or workshop.webhook_secret is None:
                raise UndeliverableError("the workshop has no webhook, or one without a secret; register both")
            message = _with_customer(connection, claimed)
            body = cloud_event(
                message,
                key=claimed.idempotency_key,
                source=config.portal_url,
                time=claimed.created_at,
                trace=claimed.trace,
            )
            headers = signed_headers(workshop.webhook_secret, key=claimed.idempotency_key, now=now, body=body)
            transports.webhooks.post(workshop.webhook_url, headers, body)
        case "workshop_invitation":
            assert claimed.workshop_id is not None  # a constraint of the table
            workshop = addresses.workshop(connection, claimed.workshop_id)
            transports.mail.send(
                invitation_mail(
                    _with_customer(connection, claimed),
                    sender=config.sender,
                    to=workshop.email,
                    key=claimed.idempotency_key,
                    stamp=claimed.created_at,
                )
            )


def _with_customer(connection: Connection, claimed: Claimed) -> WorkshopMessage:
    """The message with who brings the car; without, where they were erased meanwhile."""
    message = _read(claimed, WorkshopMessage)
    customer = None if claimed.booking_id is None else addresses.customer(connection, claimed.booking_id)
    if customer is None:
        return message
    fields = ("name", "vin") if customer.vin else ("name",)
    _log(connection, claimed, customer.owner_id, role="workshop", actor=str(claimed.workshop_id), fields=fields)
    return msgspec.structs.replace(message, customer=customer.name, vin=customer.vin)


def _log(
    connection: Connection, claimed: Claimed, owner_id: UUID, *, role: Role, actor: str, fields: Sequence[str]
) -> None:
    """Enter what leaves into the access log: once for a message, before its first attempt."""
    if claimed.attempts == 1:
        record_access(
            connection, owner_id, role=role, actor=actor, fields=fields, purpose=f"message {claimed.idempotency_key}"
        )


def _read(claimed: Claimed, kind: type[_M]) -> _M:
    try:
        return msgspec.convert(claimed.payload, kind)
    except msgspec.ValidationError as error:
        raise UndeliverableError("the stored message is not one this version understands") from error


def _send_to_owner(
    connection: Connection,
    config: DeliveryConfig,
    transports: Transports,
    claimed: Claimed,
    message: OwnerMessage,
    now: datetime,
) -> None:
    """Send to each channel of the owner that has not got it yet; one that fails keeps it from none of the others."""
    assert claimed.vehicle_id is not None  # a constraint of the table
    owner = addresses.owner_of_vehicle(connection, claimed.vehicle_id)
    notice = owner_notice(
        message,
        key=claimed.idempotency_key,
        language=owner.language,
        time_zone=owner.time_zone,
        link=owner_link(config, message, owner.id, now),
    )
    channels = owner.notify_urls or ([mail_address_url(owner.email)] if owner.email else [])
    if not channels:
        raise UndeliverableError("the owner has no channel; register a notify URL or an e-mail address")
    actor = ", ".join(sorted({mask_channel(channel) for channel in channels}))
    field = "notify_urls" if owner.notify_urls else "email"
    _log(connection, claimed, owner.id, role="delivery", actor=actor, fields=[field])
    failures: list[DeliveryError] = []
    for channel in channels:
        digest = hashlib.sha256(channel.encode()).hexdigest()[:16]
        if digest in claimed.delivered_to:
            continue
        try:
            transports.owners.send(channel, notice)
        except DeliveryError as error:
            failures.append(error)
        else:
            claimed.delivered_to.append(digest)
    later = [error for error in failures if not isinstance(error, UndeliverableError)]
    if later:
        raise later[0]
    if failures and not claimed.delivered_to:
        raise failures[0]


def owner_link(config: DeliveryConfig, message: OwnerMessage, owner_id: UUID, now: datetime) -> str:
    """Return the page of the portal a message leads to: the booking's by a signed link, or else the vehicle's."""
    if message.booking_id is None:
        return config.vehicle_link(owner_id, message.vehicle_id, now)
    return f"{config.portal_url}/offer/{offer_token(config.link_secret, message.booking_id, now)}"
