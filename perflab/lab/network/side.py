"""The two ends of a proxied connection."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """Who sends."""

    CLIENT = "client"
    SERVER = "server"
