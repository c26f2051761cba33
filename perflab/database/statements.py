"""SQL in files: `-- name: claim` starts a statement, the comments under the name say why it looks the way it does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_MEANT_AS_NAME = re.compile(r"^[ \t]*--[ \t]*name[ \t]*:.*$", re.MULTILINE | re.IGNORECASE)
_COMMENT = re.compile(r"^\s*--.*$\n?", re.MULTILINE)


class OwnStatement(str):
    """A statement of perflab's own. What it returns has the same types for ever, so that a server may keep its parsed
    form under a name and be asked for it again.
    """

    __slots__ = ()


def parse_statements(text: str) -> Mapping[str, OwnStatement]:
    """Statement by name.

    Raises:
        ValueError: two statements of one name, an empty one, SQL before the first name, or a name line that is not
            written like the others.
    """
    for line in _MEANT_AS_NAME.findall(text):
        if not _NAME.fullmatch(line):
            raise ValueError(f"{line!r} does not name a statement: write '-- name: lower_case'")
    before, *parts = _NAME.split(text)
    if _COMMENT.sub("", before).strip():
        raise ValueError("there is SQL before the first '-- name:' line")
    statements: dict[str, OwnStatement] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        sql = _COMMENT.sub("", body).strip().rstrip(";").rstrip()
        if not sql:
            raise ValueError(f"the statement {name!r} is empty")
        if name in statements:
            raise ValueError(f"there are two statements named {name!r}")
        statements[name] = OwnStatement(sql)
    return MappingProxyType(statements)


@cache
def load_statements(package: str, engine: str) -> Mapping[str, OwnStatement]:
    """The statements of `<engine>.sql` in a package: they stand beside the operations that they serve."""
    return parse_statements(files(package).joinpath(f"{engine}.sql").read_text(encoding="utf-8"))
