"""The command line. `main` is the console entry point; the commands stand in `perflab.cli.app`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from perflab.batching.interrupts import exit_on_sigterm
from perflab.errors import PerflabError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. SIGTERM ends it as Ctrl-C does: what it has started is stopped, what it has made is removed.

    Args:
        arguments: What follows `perflab` on the command line; None takes it from there.

    Returns:
        The exit code: what the command says, 2 when it refused or could not do its work, 130 when interrupted, 143 when
        terminated.
    """
    try:
        from perflab.cli.app import app

        with exit_on_sigterm():
            app(args=arguments, prog_name="perflab", standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except PerflabError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "perflab":
            raise
        return _refuse(f"this command needs the package {error.name}; install it with: pip install 'perflab[lab]'")
    return 0


def _refuse(reason: str) -> int:
    sys.stderr.write(f"perflab: {' '.join(reason.split())}\n")
    return EXIT_REFUSED
