"""The command line. `main` is the console entry point; the commands stand in `perflab.cli.app`."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from perflab.errors import PerflabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_TERMINATED = 143  # 128 + SIGTERM


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

        with _clean_end_on_sigterm():
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


@contextmanager
def _clean_end_on_sigterm() -> Iterator[None]:
    """Have SIGTERM raise SystemExit in the block, unless somebody has decided otherwise."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _refuse(reason: str) -> int:
    sys.stderr.write(f"perflab: {' '.join(reason.split())}\n")
    return EXIT_REFUSED
