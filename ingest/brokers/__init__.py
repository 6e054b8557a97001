"""Configurations for brokers, made from the registry, and their application to a broker that runs.

``branch`` says who may what, ``nats`` and ``mosquitto`` write it down in each broker's words; these are pure.
``access`` reads the registry, ``folder`` keeps the files of one broker, ``reload`` tells it, ``disconnect`` ends
connections, and ``watch`` does all of it whenever something changes.
"""
