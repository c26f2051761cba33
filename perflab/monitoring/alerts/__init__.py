"""Alerts: rules as data, what is broken now and since when, and who is told."""
