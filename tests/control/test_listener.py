from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from proxy.control.errors import StartupError
from proxy.control.listener import UNSENT, AddressTaken, RuntimeDir, address_of, display, listen


def test_listening_socket_does_not_block_and_passes_nodelay_to_accepted_ones() -> None:
    with listen("server.listen", "127.0.0.1:0") as sock:
        assert not sock.getblocking()
        with socket.create_connection(address_of(sock)):
            sock.setblocking(True)
            accepted, _ = sock.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_taken_address_names_setting_and_address() -> None:
    with listen("server.listen", "127.0.0.1:0") as first:
        taken = display(first)
        with pytest.raises(AddressTaken, match=f"server.admin: {taken} is in use"):
            listen("server.admin", taken)


def test_an_address_of_another_machine_names_setting_and_reason() -> None:
    with pytest.raises(StartupError, match=r"server\.listen: cannot listen on 192\.0\.2\.1:80"):
        listen("server.listen", "192.0.2.1:80")


def test_ipv6_addresses_are_shown_in_brackets() -> None:
    with listen("server.listen", "[::1]:0") as sock:
        assert display(sock).startswith("[::1]:")


def test_runtime_dir_is_private_and_held_by_one_instance(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    first = RuntimeDir(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with pytest.raises(StartupError, match=rf"in use by another instance \(pid {os.getpid()}\)"):
        RuntimeDir(str(path))
    first.release()
    RuntimeDir(str(path)).release()


def test_the_mode_of_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    directory = RuntimeDir(str(path))
    directory.release()
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert directory.path == path / f"uid-{os.geteuid()}"
    assert [each.name for each in path.iterdir()] == [directory.path.name]


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(StartupError, match=r"cannot use .*/lock: it is a link; remove it"):
        RuntimeDir(str(tmp_path))
    assert victim.read_text() == "precious"


def test_a_runtime_dir_that_is_a_file_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StartupError, match=r"server\.runtime_dir: cannot use"):
        RuntimeDir(str(path))


def test_the_kernel_takes_little_for_a_client_that_does_not_read() -> None:
    with listen("server.listen", "127.0.0.1:0") as sock, socket.create_connection(address_of(sock)):
        sock.setblocking(True)
        with sock.accept()[0] as accepted:
            accepted.setblocking(False)
            taken = 0
            with contextlib.suppress(BlockingIOError):
                while taken < 16 * UNSENT:
                    taken += accepted.send(bytes(UNSENT))
            assert 0 < taken < 8 * UNSENT
