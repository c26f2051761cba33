"""`python -m perflab` is the same as `perflab`."""

from __future__ import annotations

import sys

from perflab.cli import main

if __name__ == "__main__":
    sys.exit(main())
