"""Watches, ingest states, and the tick that enqueues what is due."""
