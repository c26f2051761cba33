"""The option `--profile-with`, which several commands have."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

ProfileWith: TypeAlias = Annotated[
    Literal["cprofile", "pyinstrument", "py-spy", "memray"] | None,
    typer.Option(
        "--profile-with",
        help="Visit once more under this profiler, for a page of its own (extra `profilers`).",
        show_default=False,
    ),
]
