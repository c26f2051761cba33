"""Tuning a user's own database: a few measurements, a prediction, a search, and a confirmation."""
