"""How far a sweep is, for others to see: a small file beside its results, which only one process may open."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from perflab.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """A sweep at one moment."""

    name: str
    done: int
    """Visits, of `total`."""
    total: int
    seconds_left: float
    """Estimated."""
    written_at: float
    """Seconds since 1970."""
    has_ended: bool

    def write(self, store: Path) -> None:
        """Write it beside a results store, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        path = progress_file(store)
        draft = path.with_name(f"{path.name}.new")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, store: Path) -> Self | None:
        """What stands beside a results store; None where nothing does.

        Raises:
            InvalidInput: the file is something else, or cannot be read.
        """
        path = progress_file(store)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                name=str(found["name"]),
                done=int(found["done"]),
                total=int(found["total"]),
                seconds_left=float(found["seconds_left"]),
                written_at=float(found["written_at"]),
                has_ended=bool(found["has_ended"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InvalidInput(
                f"{str(path)!r} is not the progress of a sweep ({type(error).__name__}): remove it or name another"
            ) from error


def progress_file(store: Path) -> Path:
    """Where the progress of a sweep into this store is."""
    return store.with_name(f"{store.name}.progress.json")
