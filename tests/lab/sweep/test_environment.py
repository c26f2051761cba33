from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

from perflab.lab.sweep.environment import read_environment


def test_it_names_what_influences_figures(tmp_path: Path) -> None:
    environment = read_environment(tmp_path)
    assert environment["cores"]
    assert environment["file_system"]
    assert environment["duckdb"]
    json.dumps(dict(environment))


def test_it_names_neither_the_host_nor_the_user_nor_a_path(tmp_path: Path) -> None:
    text = json.dumps({key: value for key, value in read_environment(tmp_path).items() if key != "system"})
    assert socket.gethostname() not in text
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text
    assert f'"{getpass.getuser()}"' not in text
