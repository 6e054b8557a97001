"""Messages of dongles -> TimescaleDB; who may send them; whose data it is. Open ``worker.py`` first.

* The way of a message: ``sources/`` (MQTT, JetStream), ``inbox``, ``warden/`` (limits per device), ``decode`` with
  ``columns`` and ``column_reader``, then ``writer`` in one transaction: ``ledger``, ``rows`` with ``copy_format``,
  ``state`` and ``state_rows``, ``rejections``; after the commit ``acknowledge`` and ``acknowledger``.
* To the dongle: ``courier`` brings service records (``services``), ``commands`` and ``remote`` ask it something.
* Who gets in: ``registry/``, ``enrolment/`` (certificates), ``brokers/`` (what a broker is configured with).
* What is read: ``reading_store``, ``history``, ``rollups/`` (hours, days, retention). Personal data: ``personal/``.
* In common: ``database``, ``session``, ``migrate``, ``clock``, ``broker`` (a connection to it), ``metrics``, ``pulse``.
"""
