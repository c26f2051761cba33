"""Signals: quantities that say whether all is well, each defined once for alerts, history and Prometheus."""
