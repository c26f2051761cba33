"""Addresses: a proxy is open to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.lab.network.address import Address, TcpAddress, UnixAddress, check_listen, check_upstream, connect


@pytest.mark.case("F44")
@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.1", "localhost", "127.0.0.2", "::1"])
def test_listening_anywhere_but_on_loopback_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 only|give a host name"):
        check_listen(TcpAddress(host, 5432))


def test_a_socket_in_a_folder_that_others_can_open_is_refused(folder: Path) -> None:
    address = UnixAddress(folder / "socket")
    assert check_listen(address) == address
    folder.chmod(0o755)
    with pytest.raises(InvalidInput, match="open to other users"):
        check_listen(address)


def test_a_socket_where_something_is_already_is_refused(folder: Path) -> None:
    taken, dangling = folder / "taken", folder / "dangling"
    taken.write_text("precious")
    dangling.symlink_to(folder / "nowhere")
    for path in (taken, dangling):
        with pytest.raises(InvalidInput, match="exists"):
            check_listen(UnixAddress(path))
    assert taken.read_text() == "precious"


def test_a_socket_in_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a directory"):
        check_listen(UnixAddress(folder / "missing" / "socket"))


@pytest.mark.parametrize("port", [-1, 65_536, 5432.0, True])
def test_a_port_out_of_range_is_refused(port: Any) -> None:
    with pytest.raises(InvalidInput, match="port is"):
        TcpAddress("127.0.0.1", port)


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    with pytest.raises(InvalidInput, match="200 bytes"):
        UnixAddress(Path("/" + "x" * 199))


@pytest.mark.parametrize("path", ["/tmp/socket", None])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    with pytest.raises(InvalidInput, match=r"pathlib\.Path"):
        UnixAddress(path)


def test_forwarding_to_no_port_is_refused() -> None:
    with pytest.raises(InvalidInput, match="port 0"):
        check_upstream(TcpAddress("db.example", 0))


@pytest.mark.parametrize("check", [check_listen, check_upstream])
def test_what_is_no_address_is_refused(check: Any) -> None:
    with pytest.raises(InvalidInput, match="give a TcpAddress or a UnixAddress"):
        check("127.0.0.1:5432")


def test_a_connection_that_fails_leaves_no_socket(folder: Path, nothing_left_open: None) -> None:
    missing: tuple[Address, ...] = (UnixAddress(folder / "missing"), TcpAddress(port=1))
    for address in missing:
        with pytest.raises(OSError, match=r"refused|No such file"):
            connect(address, 1.0)


def test_addresses_read_as_addresses() -> None:
    assert str(TcpAddress("127.0.0.1", 5432)) == "127.0.0.1:5432"
    assert str(TcpAddress("::1", 5432)) == "[::1]:5432"
    assert str(UnixAddress(Path("/run/.s.PGSQL.5432"))) == "/run/.s.PGSQL.5432"
