"""Messages of dongles -> TimescaleDB; who may send them; whose data it is. Open ``worker.py`` first.

* The way of a message: ``sources/`` (MQTT, JetStream), ``warden/`` (limits per device), ``decoding/``, ``storing/`` in
  one transaction; after the commit ``acknowledger``.
* To the dongle: ``outbound/`` brings service records and wipes, and asks it something.
* Who gets in: ``registry/``, ``enrolment/`` (certificates), ``brokers/`` (what a broker is configured with).
* What is read: ``reading_store``, ``history``, ``rollups/`` (hours, days, retention). Personal data: ``personal/``.
* In common: ``database``, ``session``, ``migrate``, ``clock``, ``broker_connection``, ``metrics``, ``pulse``.
"""
