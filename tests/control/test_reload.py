from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config import Loaded
from proxy.control.reload import Change, InForce, Reloader, ReloadResult, digest, judge, load, read
from proxy.core.routing.phases import RolloutStanding
from proxy.core.traffic.authors import Author
from tests.control.conftest import MakeState


def text(reads: object = 0, writes: object = 0, extra: str = "") -> bytes:
    return f"""\
{extra}
backends: {{legacy: {{url: "http://127.0.0.1:1"}}, async: {{url: "http://127.0.0.1:2"}}}}
endpoints:
  GET /a: {{weight: {reads}}}
  POST /b: {{weight: {writes}}}
""".encode()


def verdict(old: bytes, new: bytes) -> ReloadResult:
    running = load(old, "routing.yaml").snapshot
    return judge(new, "routing.yaml", running, running)


def test_an_accepted_file_comes_with_its_difference() -> None:
    found = verdict(text(), text(reads=25))
    assert found.loaded is not None
    assert found.changes == ("GET /a: weight 0 -> 25",)
    assert not found.errors


def test_what_only_a_restart_changes_is_said_in_the_warnings() -> None:
    found = verdict(text(), text(extra="server: {workers: 7}"))
    assert found.loaded is not None
    (warning,) = found.warnings
    assert "server.workers" in warning
    assert "takes effect at the next restart" in warning


def test_what_waits_for_a_restart_is_said_until_then(path: Path) -> None:
    async def main() -> None:
        published = Published(path)
        for reads in (5, 10):
            published.write(text(reads, extra="server: {workers: 7}"))
            await published.reloader.reload("test")
            assert any("server.workers" in line for line in published.reloader.warnings)
        published.write(text())
        await published.reloader.reload("test")
        assert not published.reloader.warnings

    asyncio.run(main())


def test_raising_an_endpoint_out_of_order_is_refused_with_the_reason() -> None:
    found = verdict(text(), text(writes=10))
    assert found.loaded is None
    (error,) = found.errors
    assert "POST /b: weight 10 in phase writes before phase reads is at 100: GET /a (0)" in error.message


def test_lowering_is_obeyed_even_if_the_result_is_out_of_order() -> None:
    found = verdict(text(reads=100, writes=50), text(reads=50, writes=20))
    assert found.loaded is not None
    assert any("POST /b" in warning for warning in found.warnings)


ROLLOUT = "rollouts: {careful: {steps: [0, 100], advance: {parity: off}}}"


def in_rollout(*endpoints: str, reads: object = 0, writes: object = 0) -> bytes:
    """The same file with some of its endpoints in a rollout."""
    found = text(reads, writes, ROLLOUT).decode()
    for endpoint in endpoints:
        start = found.index(endpoint) + len(endpoint)
        end = found.index("\n", start)
        found = f"{found[:start]}: {{rollout: careful}}{found[end:]}"
    return found.encode()


def standing_verdict(old: bytes, new: bytes, standing: RolloutStanding | None) -> ReloadResult:
    running = load(old, "routing.yaml").snapshot
    return judge(new, "routing.yaml", running, running, standing)


@pytest.mark.parametrize(
    "standing", [None, RolloutStanding({}, []), RolloutStanding({"GET /a": 0, "POST /b": 50}, [])]
)
def test_rollouts_are_accepted_whatever_the_order_of_phases(standing: RolloutStanding | None) -> None:
    found = standing_verdict(text(), in_rollout("GET /a", "POST /b"), standing)
    assert found.loaded is not None
    assert found.changes[-2:] == (
        "GET /a: weight 0 -> rollout careful",
        "POST /b: weight 0 -> rollout careful",
    )


def test_a_weight_is_judged_by_where_the_rollout_of_the_earlier_phase_stands() -> None:
    old, new = in_rollout("GET /a"), in_rollout("GET /a", writes=5)
    going, done = RolloutStanding({"GET /a": 10_000}, []), RolloutStanding({"GET /a": 10_000}, ["GET /a"])
    assert standing_verdict(old, new, going).loaded is None
    assert standing_verdict(old, new, done).loaded is not None


def test_an_endpoint_leaves_its_rollout_downwards_at_any_time() -> None:
    old, standing = in_rollout("POST /b"), RolloutStanding({"POST /b": 2500}, [])
    assert standing_verdict(old, in_rollout(writes=25), standing).loaded is not None
    assert standing_verdict(old, in_rollout(writes=1), standing).loaded is not None
    assert standing_verdict(old, in_rollout(writes=26), standing).loaded is None


def test_a_reloader_asks_where_rollouts_stand_for_each_file(path: Path) -> None:
    path.write_bytes(in_rollout("GET /a"))

    async def main() -> None:
        published = Published(path, lambda: standing)
        published.write(in_rollout("GET /a", writes=5))
        assert (await published.reloader.reload("test")).loaded is None

        done.append("GET /a")
        assert (await published.reloader.reload("test")).loaded is not None

    done: list[str] = []
    standing = RolloutStanding({"GET /a": 10_000}, done)
    asyncio.run(main())


def test_every_error_comes_with_its_place() -> None:
    found = verdict(text(), text(reads=150, writes="x"))
    assert found.loaded is None
    assert [(error.line, error.key) for error in found.errors] == [
        (4, 'endpoints."GET /a".weight'),
        (5, 'endpoints."POST /b".weight'),
    ]


def test_bytes_that_are_not_utf8_are_an_error_with_a_line() -> None:
    found = verdict(text(), text() + b"# \xff\n")
    assert found.loaded is None
    assert found.errors[0].line == 6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_bytes(text())
    return path


class Published:
    """A reloader on the path, and what it published."""

    def __init__(self, path: Path, standing: Callable[[], RolloutStanding | None] = lambda: None) -> None:
        self.generations: list[tuple[str, int]] = []
        self.path = path
        content = path.read_bytes()
        in_force = InForce(load(content, str(path)))
        self.reloader = Reloader(path, content, in_force, self._publish, standing=standing)

    def write(self, content: bytes) -> None:
        self.path.write_bytes(content)

    async def _publish(self, loaded: Loaded, generation: int) -> None:
        self.generations.append((loaded.snapshot.hash, generation))


def test_a_new_configuration_is_published_with_the_next_generation(path: Path) -> None:
    async def main() -> None:
        published = Published(path)
        published.write(text(reads=5))
        await published.reloader.reload("test")
        assert published.generations == [(published.reloader.running.snapshot.hash, 2)]
        assert published.reloader.last_difference == ("GET /a: weight 0 -> 5",)

    asyncio.run(main())


def test_a_changed_secret_file_takes_effect_with_the_next_reload_of_the_same_text(path: Path) -> None:
    token = path.with_name("token")
    token.write_text("one")
    content = b"override: {token: '${file:token}'}\n" + text()
    path.write_bytes(content)

    async def main() -> None:
        published = Published(path)
        token.write_text("two\n")
        await published.reloader.reload_if_changed(content, "file changed")
        assert published.generations == []
        await published.reloader.reload("SIGHUP")
        assert published.reloader.running.snapshot.override_token == "two"
        assert published.reloader.last_difference == ("override.token: changed",)
        token.unlink()
        found = await published.reloader.reload("SIGHUP")
        assert found.loaded is None
        assert published.reloader.running.snapshot.override_token == "two"

    asyncio.run(main())


def test_a_changed_comment_publishes_nothing(path: Path) -> None:
    async def main() -> None:
        published = Published(path)
        published.write(b"# hello\n" + text())
        found = await published.reloader.reload("test")
        assert found.loaded is not None
        assert published.generations == []
        assert published.reloader.generation == 1

    asyncio.run(main())


def test_a_refused_file_keeps_the_old_one_and_counts_until_one_is_accepted(path: Path) -> None:
    async def main() -> None:
        published = Published(path)
        reloader = published.reloader
        before = reloader.running
        published.write(b"nonsense: 1")
        await reloader.reload("test")
        assert reloader.running is before
        assert reloader.failures == 1
        assert reloader.last_error is not None
        assert reloader.last_error.errors[0].line == 1
        published.write(text())
        await reloader.reload("test")
        assert reloader.last_error is None
        assert reloader.failures == 1
        assert published.generations == []

    asyncio.run(main())


def test_the_same_refused_content_is_not_judged_twice_unless_asked(path: Path) -> None:
    async def main() -> None:
        published = Published(path)
        reloader = published.reloader
        published.write(b"nonsense: 1")
        for _ in range(3):
            await reloader.reload_if_changed(read(path), "file changed")
        assert reloader.failures == 1
        await reloader.reload("test")
        assert reloader.failures == 2

    asyncio.run(main())


def test_reloads_at_the_same_time_are_judged_one_after_the_other(path: Path) -> None:
    async def main() -> None:
        published = Published(path)
        published.write(text(reads=5))
        await asyncio.gather(*(published.reloader.reload(str(number)) for number in range(5)))
        assert len(published.generations) == 1

    asyncio.run(main())


def test_ways_of_being_unreadable_are_told_apart(tmp_path: Path) -> None:
    missing, directory = read(tmp_path / "missing"), read(tmp_path)
    assert isinstance(missing, OSError)
    assert isinstance(directory, OSError)
    assert len({digest(missing), digest(directory), digest(b"")}) == 3


def test_an_announced_author_is_remembered_with_the_change_and_announcements_are_bounded(
    make_state: MakeState,
) -> None:
    changes: list[Change] = []
    state = make_state(record=changes.append)
    changed = state.reloader.path.read_text().replace("12.5", "50")
    wanted = load(changed.encode(), "x").snapshot.hash
    for number in range(100):
        state.reloader.announce(str(number), Author("eve"))
    state.reloader.announce(wanted, Author("ada"))
    state.reloader.path.write_text(changed)
    asyncio.run(state.reloader.reload_if_changed(changed.encode(), "file changed"))
    assert [(change.author, change.hash) for change in changes] == [("ada", wanted)]
    assert len(state.reloader._announced) < 20
