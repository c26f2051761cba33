"""The settings of an embedded server: the defaults, what may be set, and the file they are written to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from perflab.errors import InvalidInput

DEFAULTS: Mapping[str, str] = {
    # A figure without durability is another figure: who turns these off says so.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # What PostgreSQL comes with: small enough for a laptop, and figures compare with a server that nobody tuned.
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "perflab",
}

# Where the server listens, keeps its files and writes its log is decided here; `include` is no setting at all.
_OWN = re.compile(
    r"include.*|data_directory|config_file|hba_file|ident_file|external_pid_file|listen_addresses|port"
    r"|unix_socket_.*|logging_collector|log_destination"
)
_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LINE = re.compile(r"^([a-z0-9_.]+) = '(.*)'$", re.MULTILINE)


def check_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings with their names in lower case, as PostgreSQL compares them.

    Raises:
        InvalidInput: a name is no name, or is one that `EmbeddedServer` decides; or a value is no text of one line.
    """
    checked: dict[str, str] = {}
    for given, value in settings.items():
        name = given.lower() if isinstance(given, str) else ""
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{given!r} is not the name of a PostgreSQL setting: write it like 'work_mem'")
        if is_own(name):
            raise InvalidInput(f"the setting {name!r} is decided by the embedded server: leave it out")
        if not isinstance(value, str) or _CONTROL.search(value):
            raise InvalidInput(f"the setting {name!r} is {value!r}: give text of one line, such as '64MB' or 'off'")
        if name in checked:
            raise InvalidInput(f"the setting {name!r} is given twice, in different case: give it once")
        checked[name] = value
    return checked


def render_settings(settings: Mapping[str, str], *, base: str) -> str:
    """The text of a configuration file that changes the one at the path `base`."""
    lines = ["# Written anew at each start of the embedded server.", f"include '{base}'"]
    lines += [f"{name} = '{_escape(value)}'" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def is_own(name: str) -> bool:
    """Whether the embedded server decides on this setting, and nobody else."""
    return _OWN.fullmatch(name) is not None


def parse_settings(text: str) -> dict[str, str]:
    """The settings in a text of `render_settings`."""
    return {name: _unescape(value) for name, value in _LINE.findall(text)}


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _unescape(value: str) -> str:
    return value.replace("''", "'").replace("\\\\", "\\")
