"""Every regular expression of proxy/ is linear, whatever bytes it meets.

All of them are collected from the sources. Each has an attack below, made for it, and meets what all others
are attacked with as well. A new expression without an attack fails.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from proxy.core.http1.known_fields import KnownFields
from proxy.core.routing.keys import Cookie
from tests.linear import superlinear

ROOT: Final = Path(__file__).parent.parent
USES: Final = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})


class Attack(NamedTuple):
    """`pump` again and again, between the two others."""

    before: str
    pump: str
    after: str = ""

    def text(self, size: int) -> str:
        return self.before + self.pump * (size // len(self.pump)) + self.after


ATTACKS: Final = {
    "compare/replay/har.py _has_break": Attack("", "a"),
    "compare/replay/har.py _is_token": Attack("", "a", " "),
    "compare/replay/har.py _surrogates": Attack("", "\\ud83d"),
    "compare/replay/harbody.py _fields_before": Attack("", "a:b\r\n", "a"),
    "compare/replay/harbody.py _length": Attack("", "1"),
    "compare/replay/harbody.py _length_among": Attack("content-length:", " ", "a"),
    "compare/replay/logs.py _escape": Attack("", "\\x4"),
    "compare/replay/logs.py _haproxy_escape": Attack("", "#4"),
    "compare/replay/logs.py _no_request": Attack('"', '\\"'),
    "compare/replay/logs.py _origin": Attack("", "a", ":/"),
    "compare/replay/logs.py _request": Attack('"A ', '\\"'),
    "compare/replay/logs.py _status_before": Attack(" 1", "/1"),
    "compare/replay/logs.py _status_behind": Attack("", " 20"),
    "compare/replay/report.py _not_xml": Attack("", "\x00a"),
    "compare/replay/recording.py _starts_as_har": Attack("", " ", "{ "),
    "compare/shadow.py _is_target": Attack("/", "a", " "),
    "config/draft.py _NOT_A_RESOURCE": Attack("v1", ".1", "."),
    "config/draft.py _PLAIN_KEY": Attack("A ", "a", " "),
    "config/draft.py _WORDS": Attack("", "A"),
    "config/edit_rules.py _PLAIN": Attack("", "1", "!"),
    "config/graph.py _FORBIDDEN": Attack("", "a"),
    "config/graph.py _LINE": Attack("", "a", "\r"),
    "config/templates.py _PARAM": Attack("{", "a", "."),
    "config/types.py _DATE": Attack("", "1"),
    "config/types.py _DURATION": Attack("", "1"),
    "config/types.py _MEDIA_RANGE": Attack("", "a", "/ "),
    "config/types.py _SIZE": Attack("", "1"),
    "config/types.py _TOKEN": Attack("", "a", " "),
    "config/types.py _USER_NAME": Attack("a", " "),
    "config/urls.py _HOSTNAME": Attack("", "a.", " "),
    "config/validate.py _SECRET_WORDS": Attack("", "to"),
    "config/values.py _INTEGER": Attack("", "1"),
    "config/values.py _NUMBER": Attack("", "1"),
    "config/variables.py _REFERENCE": Attack("", "a", ":"),
    "config/values.py _URL": Attack("", "//"),
    "config/variables.py _VARIABLE": Attack("", "${"),
    "core/comparison/forms.py _has_fraction": Attack("", ":11."),
    "core/comparison/forms.py _plain_number": Attack("1.", "1", "a"),
    "core/comparison/made.py _id_parts": Attack("", "a_", " "),
    "core/comparison/made.py _is_id": Attack("", "_id", "x"),
    "core/comparison/made.py _is_token": Attack("", "a", " "),
    "core/forwarding/compression.py _is_weight": Attack("0.", "0"),
    "core/documents/exactjson.py _SURROGATE": Attack("", "a"),
    "core/documents/fieldpaths.py _is_header": Attack("header:", "a", " "),
    "core/documents/fieldpaths.py _is_plain": Attack("", "a", " "),
    "core/documents/fieldpaths.py _step": Attack('["', "\\a"),
    "core/forwarding/forwarded.py _bracketed": Attack("[", "[", "]:1"),
    "core/forwarding/forwarded.py _with_port": Attack("", "1.", ":x"),
    "core/http1/chunked.py _SIZE": Attack("0", "\t", "\r"),
    "core/http1/grammar.py BARE_LF": Attack("", "\r\n"),
    "core/http1/grammar.py _lines": Attack("", "a:" + 100 * " " + "\r\n"),
    "core/http1/patterns.py _digits": Attack("1", " ", "x"),
    "core/http1/patterns.py _host": Attack("[", ":", "]:x"),
    "core/http1/patterns.py _is_block": Attack("", "a:\r\n", "a"),
    "core/http1/patterns.py _line": Attack("", "a", "\r\n"),
    "core/http1/patterns.py _plain": Attack("", "/a", "\x00"),
    "core/http1/patterns.py _status": Attack("HTTP/1.1 200 ", " ", "\x00"),
    "core/http1/request.py _is_absolute": Attack("http://", "a", "\n"),
    "core/http1/request.py _is_line_start": Attack("a ", "a", " HTTP\n"),
    "core/http1/request.py _is_other_version": Attack("a ", "a", " HTTP/1"),
    "core/http1/known_fields.py KnownFields": Attack("\n", "x_", "\n"),
    "core/resilience/identity.py _scheme": Attack("a", " "),
    "core/resilience/identity.py _is_default_port": Attack("", ":"),
    "core/resilience/identity.py _bare": Attack("a", " ", "\t"),
    "core/resilience/identity.py _parameter": Attack("", "{"),
    "core/resilience/identity.py _quoted": Attack('"', '\\"'),
    "core/resilience/identity.py _unescape": Attack("", "\\"),
    "core/comparison/judge.py _is_number": Attack("-", "1", "."),
    "core/rollout/decision.py _FIGURES": Attack("", "1", "!"),
    "core/rollout/hours.py _WINDOW": Attack("mon-tue 09:00-17:00 ", "x", " "),
    "core/routing/keys.py Cookie": Attack("", "; \t", "sid"),
    "core/traffic/ledger.py _IDENTIFIER": Attack("", "a", "1!\n"),
    "core/comparison/marks.py _SHAPES": Attack("2026-01-01T00:00:00.", "1", "!"),
    "core/comparison/marks.py _SHAPES 2": Attack("-", "1", "."),
    "core/comparison/marks.py _SHAPES 3": Attack("", "a", " "),
    "core/comparison/marks.py is_uuid": Attack("", "aaaaaaaa-"),
    "core/routing/paths.py _authority": Attack("", "a", ":/"),
    "core/routing/paths.py _is_legal": Attack("/", "%41", "%"),
    "core/routing/paths.py _misread": Attack("", "%1"),
    "core/privacy/sensitive.py _digits": Attack("", "1 ", "x"),
    "core/privacy/sensitive.py _hints_key": Attack("", "sk_live"),
    "core/privacy/sensitive.py _is_card": Attack("4", "1", "x"),
    "core/privacy/sensitive.py _key": Attack("", "-sk-", "!"),
    "core/privacy/sensitive.py _marks": Attack("", "?"),
    "core/privacy/sensitive.py _parameter": Attack("=", "?"),
    "core/privacy/sensitive.py _parts": Attack("", "%2"),
    "core/privacy/sensitive.py _pem": Attack("", "-----BEGIN A A A "),
    "core/privacy/sensitive.py _token": Attack("", "eyJ", "!"),
    "core/privacy/sensitive.py _word": Attack("", "A", "a"),
    "edge/client/http1.py _cut_empty_lines": Attack("", "\r\n", "\r"),
    "edge/observe/tracing.py _without_context": Attack("", "traceparent:\n"),
    "edge/observe/tracing.py _without_parent": Attack("", "traceparent"),
    # used where they stand
    "cli/demo/routing.py _edit": Attack("", " "),
    "config/discover.py _base_path": Attack("", "{a"),
    "config/discover.py _identifier": Attack("", "-"),
    "config/discover.py _openapi_template": Attack("", "{a"),
    "config/draft.py looks_like_search": Attack("", "-"),
    "config/types.py parse_host": Attack("", "a", ":"),
    "config/types.py parse_share": Attack("", "1"),
    "config/types.py parse_target": Attack("/", "a", " "),
    "config/urls.py parse_listen": Attack("", "1"),
    "control/admin/differences.py samples": Attack("", "1"),
    "core/http1/request.py _read_framing": Attack("", "a", " "),
    "core/http1/request.py _read_upgrade": Attack("a/", "a", "/"),
    "core/http1/grammar.py explain_fields": Attack("", "a", " "),
    "core/http1/grammar.py explain_fields 2": Attack("", " ", "\x00"),
    "core/privacy/redact.py secrets_of": Attack("", " ;"),
}

# Not linear, but operators could attack themselves only: a line of their own file, rules of their own code.
OPERATORS: Final = {
    "config/discover.py _WERKZEUG": "Flask's rules, of an application that `strangler init` has imported",
}

# What other expressions are attacked with, and single characters that stand in many of them.
PUMPS: Final = sorted({each.pump for each in ATTACKS.values()} | set(" \t\n/?&=;:,.-_*{}<>[]\"'%01aAz$@#é"))


class Found(NamedTuple):
    """One expression of the sources; `use` is the method by which it is asked."""

    name: str
    pattern: re.Pattern[Any]
    use: str


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.Call, str]]:
    """Calls of `re`, each with the name that it has or is used in, and the method that is taken of it."""

    def visit(node: ast.AST, name: str, taken: str) -> Iterator[tuple[str, ast.Call, str]]:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name != "__init__"
        ):
            name = node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and name == "":
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = target.id if isinstance(target, ast.Name) else ""
        if isinstance(node, ast.Attribute):
            taken = node.attr
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
            called = ast.unparse(node.func).removeprefix("re.")
            if called == "compile":
                yield name, node, taken if taken in USES else "search"
            elif called in USES:
                yield name, node, called
        for child in ast.iter_child_nodes(node):
            yield from visit(child, name, taken if isinstance(node, ast.Attribute) else "")

    yield from visit(tree, "", "")


def _collect() -> list[Found]:
    found: list[Found] = []
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        text = path.read_text()
        if not re.search(r"\bre\b", text):
            continue
        assert not re.search(r"^\s*(?:from re import|import re as)", text, re.MULTILINE), (
            f"{path}: plain `import re`"
        )
        module = str(path.relative_to(ROOT / "proxy"))
        for name, call, use in _named(ast.parse(text)):
            label = f"{module} {name}"
            number = sum(each.name == label or each.name.startswith(f"{label} ") for each in found) + 1
            pattern = _pattern(module, name, call)
            if pattern is not None:
                found.append(Found(label if number == 1 else f"{label} {number}", pattern, use))
    return found


def _pattern(module: str, name: str, call: ast.Call) -> re.Pattern[Any] | None:
    """None for what runs over constants of its own, when the module is imported."""
    if (module, name) == ("core/http1/scan.py", "KINDS"):
        return None
    built = {"KnownFields": KnownFields((b"host",), open_ended=True).find, "Cookie": Cookie(b"sid")._find}
    if name in built:
        pattern = built[name].__self__  # type: ignore[attr-defined]
        assert isinstance(pattern, re.Pattern)
        return pattern
    names = vars(importlib.import_module("proxy." + module.removesuffix(".py").replace("/", ".")))
    names = {**names, "endpoint": "GET /a/{b}"}
    flags = [ast.unparse(each) for each in call.args[1:] if ast.unparse(call.func) == "re.compile"]
    flags += [ast.unparse(each.value) for each in call.keywords if each.arg == "flags"]
    return re.compile(eval(ast.unparse(call.args[0]), names), *(eval(each, names) for each in flags))


EXPRESSIONS: Final = _collect()


def _run(found: Found, given: Any) -> None:
    if found.use in ("match", "fullmatch"):
        getattr(found.pattern, found.use)(given)
    else:
        for _ in found.pattern.finditer(given):
            pass


def test_every_expression_has_an_attack_of_its_own() -> None:
    assert sorted(each.name for each in EXPRESSIONS) == sorted([*ATTACKS, *OPERATORS])


@pytest.mark.parametrize(
    "found", [each for each in EXPRESSIONS if each.name in ATTACKS], ids=lambda found: found.name
)
def test_twice_the_bytes_are_twice_the_work(found: Found) -> None:
    binary = isinstance(found.pattern.pattern, bytes)
    own = ATTACKS[found.name]
    for attack in [own, *(Attack(start, pump, end) for pump in PUMPS for start, end in ENDS)]:
        why = superlinear(
            lambda size, attack=attack: attack.text(size).encode("latin-1") if binary else attack.text(size),  # type: ignore[misc]
            lambda given: _run(found, given),
            largest=64 * 1024 if attack is own else 16 * 1024,
        )
        assert not why, f"{found.pattern.pattern!r} with {attack}: {why}"


ENDS: Final = (("", ""), ("", "\x00"))
