"""What others may have put into a directory that they share with us.

No second user is needed: whoever we are is changed in the middle.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import owned
from proxy.owned import NotOurs

BecomeAnother = Callable[[], None]


@pytest.fixture
def become_another(monkeypatch: pytest.MonkeyPatch) -> BecomeAnother:
    """From now on what we have made belongs to somebody else."""
    another = os.geteuid() + 1

    def become() -> None:
        monkeypatch.setattr(os, "geteuid", lambda: another)

    return become


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_directory_of_ours_that_is_closed_to_others_is_used_as_it_is(tmp_path: Path) -> None:
    made = owned.make_private(tmp_path / "deep" / "run")
    assert (made, mode(made)) == (tmp_path / "deep" / "run", 0o700)
    assert owned.make_private(made) == made
    assert owned.find_private(made) == made


@pytest.mark.parametrize("open_to", [0o755, 0o777, 0o1777, 0o710, 0o2770])
def test_of_one_that_others_may_enter_an_own_part_is_used(tmp_path: Path, open_to: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(open_to)
    own = owned.make_private(shared)
    assert own == shared / f"uid-{os.geteuid()}"
    assert (mode(own) & 0o777, mode(shared)) == (0o700, open_to)
    assert owned.make_private(shared) == own
    assert owned.find_private(shared) == own


def test_an_own_part_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    own = owned.make_private(tmp_path)
    own.chmod(0o770)
    assert mode(owned.make_private(tmp_path)) == 0o700


def test_a_part_that_somebody_else_has_made_for_us_is_refused(
    tmp_path: Path, become_another: BecomeAnother
) -> None:
    become_another()
    owned.subdirectory(tmp_path).mkdir(mode=0o700)
    with pytest.raises(NotOurs, match="belongs to another user"):
        owned.make_private(tmp_path)
    assert owned.find_private(tmp_path) is None


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_part_that_is_no_directory_is_refused(tmp_path: Path, what: str) -> None:
    tmp_path.chmod(0o755)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    own = owned.subdirectory(tmp_path)
    own.symlink_to(elsewhere) if what == "link" else own.touch()
    with pytest.raises(NotOurs, match="not a directory; remove it"):
        owned.make_private(tmp_path)


def test_a_link_to_the_directory_is_followed_only_if_it_is_ours(
    tmp_path: Path, become_another: BecomeAnother, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run"
    target.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert owned.make_private(link) == link
    become_another()
    monkeypatch.setattr(owned, "ROOT", -1)  # or it would be root's, which may be relied on, if we are root
    with pytest.raises(NotOurs, match="a link created by another user"):
        owned.make_private(link)


def test_a_file_is_made_for_us_alone_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    os.close(owned.open_own(path, os.O_RDWR | os.O_CREAT))
    assert mode(path) == 0o600
    path.chmod(0o664)
    os.close(owned.open_own(path, os.O_RDWR))
    assert mode(path) == 0o600


@pytest.mark.parametrize("planted", ["link", "second name", "pipe", "foreign"])
def test_a_planted_file_is_not_opened(tmp_path: Path, become_another: BecomeAnother, planted: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "lock"
    victim.write_text("precious")
    match planted:
        case "link":
            path.symlink_to(victim)
        case "second name":
            path.hardlink_to(victim)
        case "pipe":
            os.mkfifo(path)
        case "foreign":
            path.touch()
            become_another()
    with pytest.raises(NotOurs, match="remove it"):
        os.close(owned.open_own(path, os.O_RDWR | os.O_CREAT))
    assert victim.read_text() == "precious"


def test_a_link_to_nowhere_does_not_make_a_file_there(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.symlink_to(tmp_path / "made")
    with pytest.raises(NotOurs):
        owned.open_own(path, os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "made").exists()


def test_both_ends_of_a_socket_know_who_is_there(tmp_path: Path, become_another: BecomeAnother) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen()
        client.connect(str(path))
        accepted, _ = server.accept()
        with accepted:
            for end in (client, accepted):
                assert owned.check_peer(end, path) == (os.getpid(), os.geteuid())
            become_another()
            for end in (client, accepted):
                with pytest.raises(NotOurs, match="is at the other end"):
                    owned.check_peer(end, path)
