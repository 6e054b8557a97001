"""Watching ourselves: endpoints and heartbeats of every process, facts about the whole, and what is wrong with it."""
