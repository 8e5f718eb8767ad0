"""`rollouts:` and `rollout:`, from the file to the plan of an endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ConfigErrors, compile_document, compile_in_slices, compile_values, load_text
from proxy.config.difference import difference
from proxy.config.excerpt import excerpt
from proxy.config.plans import MAX_FIRST
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Advance, RolloutPlan
from tests.config.texts import BACKENDS, error, errors, load

WHOLE = """
rollouts:
  careful:
    steps: [0, 0.5, 12.25, 100]
    dwell: 90s
    advance: {failing: 0.5%, no_worse: 2, slower: off, parity: off}
    rollback: {alpha: 0.05, to: previous}
    approve: [100, 0.5]
    first: ["42", ada]
    retry: version
    hours: "MON-Fri 9:00-17:00  Europe/Berlin,sat 10:00-12:00 UTC"
    webhook: https://hooks.example.org/T0/s3cret?a=b
endpoints:
  GET /a: {rollout: careful, group: x}
  GET /b: {rollout: careful}
  GET /c: {weight: 5}
"""


def plan(text: str, steps: str = "[0, 1, 100]") -> str:
    """A plan that one endpoint follows; `text` are more of its keys, in braces."""
    return f"rollouts: {{careful: {{steps: {steps}{text}}}}}\n{follower()}"


def follower(more: str = "compare: {sample: 10%}") -> str:
    return f"endpoints: {{GET /a: {{rollout: careful, {more}}}}}"


def compiled(text: str) -> RolloutPlan:
    found = load(text).snapshot.endpoints[0].plan
    assert found is not None
    return found


def test_everything_that_a_plan_says_is_compiled() -> None:
    snapshot = load(WHOLE).snapshot
    wanted = RolloutPlan(
        name="careful",
        steps=(0, 50, 1225, 10_000),
        dwell=90.0,
        advance=Advance(failing=0.005, no_worse=2.0, slower=None, parity=None),
        alpha=0.05,
        to="previous",
        approve=frozenset({50, 10_000}),
        first=("42", "ada"),
        retry="version",
        hours="mon-fri 09:00-17:00 Europe/Berlin, sat 10:00-12:00 UTC",
        webhook="https://hooks.example.org/T0/s3cret?a=b",
    )
    assert [each.plan for each in snapshot.endpoints] == [wanted, wanted, None]
    assert snapshot.plans == (wanted,)
    assert snapshot.endpoints[0].plan is snapshot.plans[0]


def test_an_endpoint_in_a_rollout_has_the_weight_0() -> None:
    assert [each.weight for each in load(WHOLE).snapshot.endpoints] == [0, 0, 500]


def test_only_steps_are_required_and_the_rest_is_as_in_core() -> None:
    assert compiled(plan("")) == RolloutPlan("careful", (0, 100, 10_000))
    sections = ", advance: , rollback: , approve: [], first: [], hours: '', webhook: ''"
    assert compiled(plan(sections)) == RolloutPlan("careful", (0, 100, 10_000))


@pytest.mark.parametrize("key", ["failing", "no_worse", "slower", "parity"])
def test_each_part_of_advance_can_be_off(key: str) -> None:
    advance = compiled(plan(f", advance: {{{key}: off}}")).advance
    assert advance == Advance(**{key: None})


def test_a_worker_compiles_the_same() -> None:
    loaded = load(WHOLE)
    *_, sliced = compile_in_slices(loaded.document, loaded.snapshot.hash)
    assert sliced is not None
    *_, plain = compile_values(loaded.values, loaded.snapshot.hash)
    assert plain is not None
    for other in (compile_document(loaded.document), sliced, plain):
        assert other.hash == loaded.snapshot.hash
        assert difference(loaded.snapshot, other).lines == ()
        assert [each.plan for each in other.endpoints] == [each.plan for each in loaded.snapshot.endpoints]


def test_a_document_with_an_unknown_plan_is_refused_by_a_worker() -> None:
    document = {**load(WHOLE).document, "rollouts": {}}
    with pytest.raises(ValueError, match="careful is not a plan"):
        compile_document(document)


CHANGES = [
    ("[0, 0.5, 12.25, 100]", "[0, 0.5, 12.5, 100]", "steps: 0, 0.5, 12.25, 100 -> 0, 0.5, 12.5, 100"),
    ("dwell: 90s", "dwell: 5m", "dwell: 90s -> 300s"),
    ("failing: 0.5%", "failing: off", "advance.failing: 0.5% -> off"),
    ("no_worse: 2", "no_worse: 1.5", "advance.no_worse: 2 -> 1.5"),
    ("slower: off", "slower: 1.2", "advance.slower: off -> 1.2"),
    ("alpha: 0.05", "alpha: 0.001", "rollback.alpha: 0.05 -> 0.001"),
    ("to: previous", "to: 0", "rollback.to: previous -> 0"),
    ("approve: [100, 0.5]", "approve: []", "approve: 0.5, 100 -> none"),
    ("retry: version", "retry: person", "retry: version -> person"),
    ("sat 10:00-12:00 UTC", "sat 10:00-13:00 UTC", None),
    ('["42", ada]', '["42", bob]', "first: changed"),
    ("s3cret", "s3cret2", "webhook: changed"),
]


@pytest.mark.parametrize(("old", "new", "line"), CHANGES)
def test_every_key_is_in_the_hash_and_in_the_difference(old: str, new: str, line: str | None) -> None:
    assert old in WHOLE
    before, after = load(WHOLE).snapshot, load(WHOLE.replace(old, new)).snapshot
    assert before.hash != after.hash
    (found,) = difference(before, after).lines
    assert found.startswith("rollouts.careful.")
    assert line is None or found == f"rollouts.careful.{line}"


def test_parity_is_in_the_hash_and_in_the_difference() -> None:
    before, after = load(plan("")).snapshot, load(plan(", advance: {parity: 1%}")).snapshot
    assert before.hash != after.hash
    assert difference(before, after).lines == ("rollouts.careful.advance.parity: 2% -> 1%",)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("approve: [100, 0.5]", "approve: [0.5, 100.0]"),
        ('["42", ada]', '[ada, "42"]'),
        ("90s", "1.5m"),
        ("9:00-17:00  Europe/Berlin,sat", "09:00-17:00 Europe/Berlin, SAT"),
    ],
)
def test_spelling_is_not_in_the_hash(old: str, new: str) -> None:
    assert old in WHOLE
    assert load(WHOLE).snapshot.hash == load(WHOLE.replace(old, new)).snapshot.hash


MOVES = [
    ("GET /a: {weight: 25}", "GET /a: {rollout: careful}", "GET /a: weight 25 -> rollout careful"),
    (
        "GET /a: {rollout: careful}",
        "GET /a: {weight: 25}",
        "GET /a: rollout careful -> weight 25 (in force at once)",
    ),
    ("GET /a: {rollout: careful}", "GET /a: {rollout: swift}", "GET /a: rollout careful -> swift"),
    ("", "GET /a: {rollout: careful}", "GET /a: added at rollout careful"),
    ("GET /a: {rollout: careful}", "", "GET /a: removed, it was at rollout careful"),
]


@pytest.mark.parametrize(("old", "new", "line"), MOVES)
def test_move_between_weight_and_rollout_is_said_in_one_line(old: str, new: str, line: str) -> None:
    plans = "rollouts: {careful: {steps: [0, 100]}, swift: {steps: [1, 100]}}\ncompare: {sample: 1%}\n"
    before, after = (load(f"{plans}endpoints: {{{each}}}").snapshot for each in (old, new))
    assert difference(before, after).lines == (line,)


def test_a_plan_that_comes_or_goes_is_one_line() -> None:
    without, with_ = load("").snapshot, load("rollouts: {careful: {steps: [0, 1, 100]}}").snapshot
    assert difference(without, with_).lines == ("rollouts.careful: added with steps 0, 1, 100",)
    assert difference(with_, without).lines == ("rollouts.careful: removed",)


WRONG = [
    (
        "rollouts: {careful: {}}",
        "1:12",
        "rollouts.careful.steps: is required, such as [0, 1, 5, 25, 50, 100]",
    ),
    (plan("", "[]"), "1:29", "rollouts.careful.steps: a list is empty: name the weights, such as [0, 1,"),
    (plan("", "5"), "1:29", "5 is not a list"),
    (plan("", "[0, 5, 1, 100]"), "1:36", "steps[2]: 1 is below 5, the step before it: steps rise"),
    (plan("", "[0, 5, 5, 100]"), "1:36", "steps[2]: 5 is listed twice: remove one of them"),
    (
        plan("", "[0, 5, 50]"),
        "1:36",
        "steps[2]: 50 is the last step, and a rollout ends with all clients: add 100",
    ),
    (plan("", "[100]"), "1:29", "has only 100, where nothing can be compared: put lower steps before it"),
    (plan("", "[0, 101]"), "1:33", "steps[1]: 101 is not between 0 and 100"),
    (plan("", "[-1, 100]"), "1:30", "steps[0]: -1 is not between 0 and 100"),
    (plan("", "[0.001, 100]"), "1:30", "0.001 has more than two decimal places"),
    (plan("", "[a, 100]"), "1:30", "a is not a number from 0 to 100, in steps of 0.01"),
    (plan(", rollback: {alpha: 0}"), "", "rollback.alpha: 0 is not a number above 0 and at most 0.1"),
    (plan(", rollback: {alpha: 0.11}"), "", "rollback.alpha: 0.11 is not a number above 0 and at most 0.1"),
    (plan(", rollback: {alpha: x}"), "", "x is not a number above 0 and at most 0.1, such as 0.001"),
    (plan(", rollback: {to: 5}"), "", "rollback.to: 5 is not 0 or previous"),
    (plan(", dwell: 999ms"), "", "dwell: 999ms is not a duration from 1s to 8784h"),
    (plan(", dwell: 9000h"), "", "9000h is not a duration from 1ms to 8784h"),
    (plan(", dwell: 600"), "", "600 is not a duration such as 250ms, 10s, 5m or 24h"),
    (plan(", advance: {failing: 0%}"), "", "0% is not a percentage from 0.01% to 50% or off"),
    (plan(", advance: {failing: 0.01}"), "", "0.01 is not a percentage from 0.01% to 50% or off"),
    (plan(", advance: {no_worse: 1}"), "", "no_worse: 1 is not a number from 1.01 to 20 or off"),
    (plan(", advance: {slower: 20.5}"), "", "slower: 20.5 is not a number from 1.01 to 20 or off"),
    (plan(", advance: {parity: 51%}"), "", "parity: 51% is not a percentage from 0.01% to 50% or off"),
    (plan(", advance: {parity: no}"), "", "parity: no is not a percentage from 0.01% to 50% or off"),
    (plan(", advance: off"), "", "advance: off is not a mapping of keys to values"),
    (
        plan(", advance: {latency: 1}"),
        "",
        "advance.latency: unknown key, allowed: failing, no_worse, parity, slower",
    ),
    (plan(", approve: [50]"), "", "approve[0]: 50 is not one of the steps (0, 1, 100)"),
    (plan(", approve: yes"), "", "approve: yes is not a list"),
    (plan(", retry: never"), "", "retry: never is not person or version"),
    (plan(", hours: always"), "", 'hours: always is not hours such as "mon-fri 09:00-17:00 Europe/Berlin"'),
    (plan(", hours: mon 22:00-06:00 UTC"), "", "goes over midnight (22:00-06:00): split it"),
    (plan(", hours: mon 09:00-09:00 UTC"), "", "never comes: 09:00-09:00 ends when it begins"),
    (plan(", hours: mon 09:00-17:00 Europe/Berln"), "", "did you mean Europe/Berlin?"),
    (plan(", hours: 5"), "", "5 is not hours such as"),
    (plan(", webhook: 'ftp://h/s3cret'"), "", "webhook: *** is not a URL such as https://hooks.example.org"),
    (plan(", webhook: s3cret"), "", "it begins with http:// or https://"),
    (plan(", webhook: 'https:///s3cret'"), "", "it has no host, or none that can be"),
    (plan(", webhook: 'https://h:99999/s3cret'"), "", "webhook: *** is not a URL such as"),
    (plan(", webhook: 'https://h/s3cret x'"), "", "webhook: *** is not a URL such as"),
    (plan(", webhook: 'https://h/s3cret#x'"), "", "webhook: *** has a fragment (#...)"),
    (plan(f", webhook: 'https://h/s3cret{'x' * 2048}'"), "", "or more than 2048 characters"),
    (plan(", first: [42]"), "", "first[0]: *** is not a sticky key: write it as clients send it, in quotes"),
    (plan(", first: ['']"), "", "first[0]: *** is not a sticky key: it is empty, or has blanks around it"),
    (plan(", first: [' s3cret']"), "", "it is empty, or has blanks around it, which no client sends"),
    (plan(r', first: ["s3cret\n"]'), "", "is not a sticky key: write it as clients send it"),
    (plan(f", first: [{'s3cret' * 43}]"), "", "is longer than 256 bytes: send x-backend with override.token"),
    (plan(", first: [s3cret, b, s3cret]"), "", "first[2]: *** is listed twice: remove one of them"),
    (
        plan(f", first: [{', '.join(f'u{number}' for number in range(MAX_FIRST + 1))}]"),
        "",
        "has more than 100 keys: for more people, begin with a small step",
    ),
    (
        "rollouts: {'two words': {steps: [0, 100]}}",
        "1:12",
        '"two words" is not a name of letters, digits and -_.',
    ),
    (
        "endpoints: {GET /a: {rollout: careful}}",
        "1:31",
        "careful is not a plan: the file has no rollouts; add one",
    ),
]


@pytest.mark.parametrize(("text", "place", "message"), WRONG, ids=[text[:70] for text, _, _ in WRONG])
def test_bad_value_is_refused_with_place_and_remedy(text: str, place: str, message: str) -> None:
    found = error(text)
    assert message in str(found)
    assert "s3cret" not in str(found)
    assert found.line > 0
    assert found.column > 0
    assert str(found).startswith(place)
    assert not any("s3cret" in line for line in excerpt(f"{text}\n{BACKENDS}", found.line, found.column))


def test_unknown_plan_is_refused_with_the_nearest_one() -> None:
    text = "rollouts: {careful: {steps: [0, 100]}, swift: {steps: [0, 100]}}\n"
    found = error(f"{text}endpoints: {{GET /a: {{rollout: carefull}}}}")
    assert str(found) == '2:31: endpoints."GET /a".rollout: carefull is not a plan, did you mean careful?'
    assert "is not a plan of this file: careful, swift" in str(
        error(f"{text}endpoints: {{GET /a: {{rollout: x}}}}")
    )


@pytest.mark.parametrize("weight", ["25", "0"])
def test_rollout_and_weight_together_are_refused(weight: str) -> None:
    both = follower(f"weight: {weight}, compare: {{sample: 1%}}")
    text = f"rollouts: {{careful: {{steps: [0, 100]}}}}\n{both}"
    found = error(text)
    assert (found.line, found.key) == (2, 'endpoints."GET /a".rollout')
    assert "cannot be combined with weight, which is that of the rollout's step: remove one" in found.message


NOT_COMPARED = [
    ("GET /a: {rollout: careful}", "its answers are not compared: set compare.sample, such as 10%"),
    ("GET /a: {rollout: careful, compare: {sample: 0%}}", "its answers are not compared"),
    ("POST /a: {rollout: careful}", "its answers are not compared"),
    (
        "POST /a: {rollout: careful, compare: {sample: 1%}}",
        "writes are compared by what they did: set compare.read_back or compare.dry_run",
    ),
    (
        "GET /a: {rollout: careful, safe: false, compare: {sample: 1%}}",
        "writes are compared by what they did",
    ),
]
COMPARED = [
    "GET /a: {rollout: careful, compare: {sample: 1%}}",
    "POST /a: {rollout: careful, safe: true, compare: {sample: 1%}}",
    "POST /a: {rollout: careful, compare: {sample: 1%, read_back: GET /b}}, GET /b: {}",
    "POST /a: {rollout: careful, compare: {sample: 1%, dry_run: true}}",
]
DRY = "backends: {legacy: {url: 'http://a', dry_run: {header: 'x-dry: 1'}}, async: {url: 'http://b'}}\n"


@pytest.mark.parametrize(("endpoint", "lack"), NOT_COMPARED)
@pytest.mark.parametrize("advance", ["{}", "{parity: 1%}"])
def test_parity_of_what_is_not_compared_is_refused(endpoint: str, lack: str, advance: str) -> None:
    found = error(
        f"rollouts: {{careful: {{steps: [0, 100], advance: {advance}}}}}\nendpoints: {{{endpoint}}}"
    )
    bound = "2%" if advance == "{}" else "1%"
    assert found.line == 2
    assert found.key.endswith(".rollout")
    assert found.message.startswith(
        f"careful advances on equal answers (advance.parity is {bound}), but {lack}"
    )
    assert found.message.endswith(", or advance.parity: off")


@pytest.mark.parametrize("endpoint", [endpoint for endpoint, _ in NOT_COMPARED])
def test_without_parity_nothing_has_to_be_compared(endpoint: str) -> None:
    plan = "rollouts: {careful: {steps: [0, 100], advance: {parity: off}}}"
    assert errors(f"{plan}\nendpoints: {{{endpoint}}}") == []


@pytest.mark.parametrize("endpoint", COMPARED)
def test_parity_of_what_is_compared_is_taken(endpoint: str) -> None:
    text = f"rollouts: {{careful: {{steps: [0, 100]}}}}\nendpoints: {{{endpoint}}}\n{DRY}"
    assert load_text(text, source="x", environ={}).snapshot.endpoints[0].plan is not None


def test_the_general_share_of_comparisons_counts() -> None:
    text = "rollouts: {careful: {steps: [0, 100]}}\ncompare: {sample: 5%}\n"
    assert errors(f"{text}endpoints: {{GET /a: {{rollout: careful}}}}") == []


@pytest.mark.parametrize(
    ("sticky", "key", "taken"),
    [
        ("client-ip", "ada", False),
        ("client-ip", "192.0.2.1", True),
        ("client-ip", "2001:DB8::1", False),  # clients have it in lower case
        ("client-ip", "2001:db8::1", True),
        ("cookie:sid", "a;b", False),
        ("cookie:sid", 'a"b', False),
        ("cookie:sid", "a b", False),
        ("cookie:sid", "abc", True),
        ("[cookie:sid, header:x-user]", "a b", True),
        ("jwt:sub", "a b", True),
        ("bearer", "t0ken", True),
    ],
)
def test_a_key_that_no_source_can_have_is_refused(sticky: str, key: str, taken: bool) -> None:
    text = (
        f"rollouts: {{careful: {{steps: [0, 100], first: ['{key}']}}}}\n"
        f"{follower(f'sticky: {sticky}, compare: {{sample: 1%}}')}"
    )
    found = errors(text)
    assert (found == []) is taken
    if not taken:
        assert "cannot be a sticky key of the endpoints of this plan" in found[0].message


def test_a_plan_that_no_endpoint_follows_is_a_warning_with_its_place() -> None:
    loaded = load("rollouts:\n  careful: {steps: [0, 100]}\n  swift: {steps: [0, 100]}\n" + follower())
    assert loaded.warnings == (
        "3:3: rollouts.swift: no endpoint follows this plan: give one rollout: swift, or remove the plan",
    )


def test_all_errors_of_a_plan_come_at_once() -> None:
    found = errors(plan(", dwell: x, retry: x, approve: [7], first: [a, a]", "[0, 5, 1]"))
    keys = [each.key.removeprefix("rollouts.careful.") for each in found]
    assert keys == ["steps[2]", "steps[2]", "dwell", "retry", "approve[0]", "first[1]"]


class TestSecrets:
    """The webhook's URL and the persons of `first` are shown nowhere."""

    def test_not_in_a_difference_nor_in_a_repr(self, tmp_path: Path) -> None:
        found: list[Snapshot] = []
        for number in (1, 2):
            (tmp_path / "hook").write_text(f"https://h/s3cret{number}")
            secrets = plan(", webhook: '${file:hook}', first: ['s3cret-${WHO}']")
            text = f"{secrets}\n{BACKENDS}"
            loaded = load_text(text, source=str(tmp_path / "x"), environ={"WHO": str(number)})
            found.append(loaded.snapshot)
        assert [each.plans[0].webhook for each in found] == ["https://h/s3cret1", "https://h/s3cret2"]
        lines = difference(*found).lines
        assert lines == ("rollouts.careful.first: changed", "rollouts.careful.webhook: changed")
        assert "s3cret" not in repr(found)

    def test_not_in_an_error_of_what_a_variable_holds(self, tmp_path: Path) -> None:
        (tmp_path / "hook").write_text("gopher://s3cret")
        secret = plan(", webhook: '${file:hook}'")
        text = f"{secret}\n{BACKENDS}"
        with pytest.raises(ConfigErrors) as refused:
            load_text(text, source=str(tmp_path / "x"), environ={})
        assert "s3cret" not in str(refused.value)

    @pytest.mark.parametrize("line", ["webhook: https://h/s3cret", "first: [s3cret, b]", "first: ['s3cret']"])
    def test_not_in_an_excerpt(self, line: str) -> None:
        text = f"rollouts:\n  careful:\n    {line}\n"
        shown, _ = excerpt(text, 3, 5)
        assert "s3cret" not in shown
        assert shown.lstrip().startswith(line.partition(":")[0])
        assert "careful" in excerpt(text, 2, 3)[0]
