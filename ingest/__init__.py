"""Messages of dongles -> TimescaleDB; who may send them; whose data it is. Open ``worker.py`` first.

* The way of a message: ``sources/`` (MQTT, JetStream), ``warden/`` (limits per device), ``decoding/``, ``storing/`` in
  one transaction; after the commit ``acknowledger``.
* To the dongle: ``outbound/`` brings service records and wipes, and asks it something.
* Who gets in: ``registry/``, ``enrolment/`` (certificates), ``brokers/`` (what a broker is configured with).
* What is read: ``reading_store``, ``history``, ``rollups/`` (hours, days, retention). Personal data: ``personal/``.
* In common: ``database``, ``session``, ``migrate``, ``clock``, ``broker_connection``, ``metrics``, ``pulse``.

Which room may import which is in pyproject.toml. In ``outbound/`` there are books (``services``, ``wipes``,
``commands``: what a dongle is to be told and what became of it, in the database) and the post that carries it over the
broker. Other rooms use the books in their own transactions: ``storing`` notes what stored events say is applied,
``registry`` asks whether a dongle is still to be emptied, ``enrolment`` ends the wipe of one that is shut out. None of
them knows the post, and the books know neither it nor a broker.
"""
