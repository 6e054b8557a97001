"""On the dongle: sources -> readings -> estimates -> outbox -> MQTT. Start with :mod:`edge_agent.agent`."""
