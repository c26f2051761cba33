"""Marks for tests about one engine's own nature, in modules that are about both."""

from __future__ import annotations

import pytest

on_sqlite = pytest.mark.parametrize("engine", ["sqlite"])
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"])
