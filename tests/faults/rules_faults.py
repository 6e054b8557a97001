"""Faults of the rules engines, of the delivery, and of those it tells."""

from tests.faults import connections, processes
from tests.faults.connections import wait_for_cut
from tests.faults.fault import DELIVERY_TARGETS, ENGINE_TARGETS, RECEIVER_TARGETS, Fault, MissedError
from tests.faults.quick_delivery import LEASE_SECONDS, SEND_SECONDS
from tests.faults.site import wait_until

# A parameter of what opens or closes an alert: it comes again and again only where a code appears or is cleared.
_ALERTS_RULE = b"trouble_code_confirmed"
_TAKEN_WITHIN_SECONDS = 4.0
_MOST_BYTES = 4_000  # after it, before the cut: some statements of that transaction


class EngineKilled(processes.WorkerKilled):
    """In the midst of a transaction, as likely as not."""

    kind = "rules engine killed"
    targets = ENGINE_TARGETS


class EngineFrozen(processes.WorkerFrozen):
    """With a car locked, as likely as not: the other engine passes by."""

    kind = "rules engine frozen"
    targets = ENGINE_TARGETS
    hold_seconds = (0.3, 1.5)


class EngineRefused(connections.DatabaseUnreachable):
    """Its connections to the database reset and refused; the other's stand."""

    kind = "database refuses a rules engine"
    targets = ENGINE_TARGETS


class EngineSilent(connections.DatabaseSilent):
    """Its connection to the database."""

    kind = "rules engine's connection to the database silent"
    targets = ENGINE_TARGETS


class EngineCut(Fault):
    """Reset while it writes an alert, its booking and its message."""

    kind = "rules engine cut while it writes an alert"
    targets = ENGINE_TARGETS
    hold_seconds = (0.0, 0.0)

    def inject(self) -> None:
        wait_for_cut(self.service.database, [_ALERTS_RULE], self.draw.randrange(_MOST_BYTES))


class EngineAnswerLost(Fault):
    """An alert, its booking and its message are committed, and the engine never hears of it."""

    kind = "answer to a rules engine's COMMIT lost"
    targets = ENGINE_TARGETS
    hold_seconds = (0.0, 0.0)

    def inject(self) -> None:
        wait_for_cut(self.service.database, [_ALERTS_RULE, b"COMMIT"], None)


class DeliveryKilled(processes.WorkerKilled):
    """With messages under way: nobody knows whether they were taken."""

    kind = "delivery killed"
    repeats_messages = True
    targets = DELIVERY_TARGETS


class DeliveryFrozen(processes.WorkerFrozen):
    """Now and then beyond the lease of what it was sending."""

    kind = "delivery frozen"
    repeats_messages = True
    targets = DELIVERY_TARGETS
    hold_seconds = (0.5, LEASE_SECONDS + 0.5)


class DeliveryRefused(connections.DatabaseUnreachable):
    """Its connections to the database reset and refused: what was taken cannot be noted."""

    kind = "database refuses the delivery"
    repeats_messages = True
    targets = DELIVERY_TARGETS


class DeliverySilent(connections.DatabaseSilent):
    """Its connections to the database."""

    kind = "delivery's connection to the database silent"
    repeats_messages = True
    targets = DELIVERY_TARGETS


class _ReceiverFault(Fault):
    """Lasts until a message has met it."""

    targets = RECEIVER_TARGETS
    repeats_messages = True

    def begin(self) -> None:
        """Bring it about."""
        raise NotImplementedError

    def end(self) -> None:
        """End it."""
        raise NotImplementedError

    def met(self) -> int:
        """How many messages, or connections for them, have met such a fault."""
        return self.site.rules.receivers.disturbed

    def inject(self) -> None:
        self._before = self.met()
        self.begin()

    def heal(self) -> None:
        try:
            wait_until(lambda: self.met() > self._before, "a message meets it", _TAKEN_WITHIN_SECONDS)
        except TimeoutError:
            raise MissedError("no messages came") from None
        finally:
            self.end()


class ReceiversAway(_ReceiverFault):
    """Connections to webhook and owners' channel reset and refused."""

    kind = "receivers away"

    def met(self) -> int:
        return self.site.rules.webhook.turned_away

    def begin(self) -> None:
        self.site.rules.webhook.refuse(True)

    def end(self) -> None:
        self.site.rules.webhook.refuse(False)


class ReceiversSilent(_ReceiverFault):
    """They answer nothing, now and then for longer than they are waited for."""

    kind = "receivers silent"
    hold_seconds = (0.5, SEND_SECONDS + 0.5)

    def met(self) -> int:
        return self.site.rules.webhook.held

    def begin(self) -> None:
        self.site.rules.webhook.stall(True)

    def end(self) -> None:
        if self.draw.random() < 0.5:
            self.site.rules.webhook.cut()
        self.site.rules.webhook.stall(False)


class ReceiversFail(_ReceiverFault):
    """Each message is answered with 500 and not taken."""

    kind = "receivers answer 500"
    repeats_messages = False

    def begin(self) -> None:
        self.site.rules.receivers.fails = True

    def end(self) -> None:
        self.site.rules.receivers.fails = False


class ReceiversSlow(_ReceiverFault):
    """They take each message, and answer after they are no longer waited for."""

    kind = "receivers slow"
    hold_seconds = (0.5, 1.5)

    def begin(self) -> None:
        self.site.rules.receivers.answers_after_seconds = SEND_SECONDS + 0.3

    def end(self) -> None:
        self.site.rules.receivers.answers_after_seconds = 0.0


class AnswersLost(Fault):
    """Some messages are taken, and the delivery never hears of it."""

    kind = "receivers' answers lost"
    repeats_messages = True
    targets = RECEIVER_TARGETS
    hold_seconds = (0.0, 0.0)

    def inject(self) -> None:
        receivers = self.site.rules.receivers
        receivers.loses_answers = self.draw.randrange(1, 4)
        try:
            wait_until(lambda: receivers.loses_answers == 0, "messages are taken", _TAKEN_WITHIN_SECONDS)
        except TimeoutError:
            receivers.loses_answers = 0
            raise MissedError("no messages came") from None
