from __future__ import annotations

import gzip
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import randbelow, token_hex
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.config import load_text
from proxy.core.comparison.comparisons import label
from proxy.core.privacy.redact import MAX_SECRETS
from tests.compare.backends import Backend, Reply, backend

Replies = Mapping[str, Reply | Callable[[], Reply]]
ENDPOINTS = "endpoints: {GET /a: {}, GET /b: {}, POST /a: {}}"
FAST = ("--rate", "5000")


def counting(change: Callable[[int], object], version: str = "1") -> Callable[[], Reply]:
    """Answers with what `change` makes of the number of the request."""
    numbers = itertools.count()
    headers = {"content-type": "application/json", "x-version": version}
    return lambda: Reply(json.dumps(change(next(numbers))).encode(), headers=headers)


def log(tmp_path: Path, targets: list[str], status: int = 200) -> Path:
    path = tmp_path / "access.log"
    lines = (json.dumps({"method": "GET", "target": target, "status": status}) for target in targets)
    path.write_text("\n".join(lines) + "\n")
    return path


def config(tmp_path: Path, legacy: str, async_: str, more: str = ENDPOINTS) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(f"backends: {{legacy: {{url: '{legacy}'}}, async: {{url: '{async_}'}}}}\n{more}")
    return path


def replayed(
    tmp_path: Path, file: Path, legacy: Replies, async_: Replies, *arguments: str, more: str = ENDPOINTS
) -> tuple[Result, Backend, Backend]:
    with backend(legacy) as ours, backend(async_) as theirs:
        path = config(tmp_path, ours.url, theirs.url, more)
        result = CliRunner().invoke(main, ["replay", str(file), "--config", str(path), *FAST, *arguments])
    return result, ours, theirs


def test_noise_is_set_aside_and_a_fault_is_found_with_an_example(tmp_path: Path) -> None:
    right, wrong = (
        [counting(lambda n, v=v: {"at": token_hex(8), "v": v}, name) for v in (1, 2)] for name in ("1", "2")
    )
    legacy = {"/a?x": right[0], "/a?y": right[0], "/b": Reply(b"[1]")}
    async_ = {"/a?x": wrong[0], "/a?y": wrong[1], "/b": Reply(b"[1]")}
    asked = ["/a?x", "/a?x", "/a?x", "/a?x", "/a?y"] * 8
    file, report = log(tmp_path, [*asked, *["/b"] * 31, "/c"]), tmp_path / "report.xml"
    result, ours, _ = replayed(tmp_path, file, legacy, async_, "--json", "--junit", str(report))
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert (found["requests"], found["compared"], found["equal"]) == (72, 71, False)
    assert found["skipped"] == {"not listed in routing.yaml": 1}
    a, b = found["endpoints"]
    assert (a["endpoint"], a["verdict"], a["k"], a["versions"]) == (
        "GET /a",
        "differs",
        8,
        {"legacy": "1", "async": "2"},
    )
    assert {each["path"]: each["verdict"] for each in a["fields"]} == {"v": "fault", "at": "noise"}
    example = {"method": "GET", "target": "/a?y", "kind": "value", "legacy": "1", "async": "2"}
    assert a["fields"][0]["examples"][0] == example
    assert (b["verdict"], b["n"], b["fields"]) == ("not yet known", 31, [])
    assert (b["bound"], b["missing_units"]) == (pytest.approx(0.109, abs=0.001), 147)
    assert all(fields["x-shadow"] == "1" for _, _, fields in ours.requests)
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "1")
    failed = suite.find("testcase/failure")
    assert failed is not None
    assert (failed.get("message"), "GET /a?y: legacy 1, async 2" in str(failed.text)) == ("differs: v", True)


def test_answers_without_a_version_are_of_the_one_that_the_configuration_names(tmp_path: Path) -> None:
    """As in live comparison: evidence of one release is not added to that of the next."""
    replies = {"/a": Reply(b"1", headers={"x-version": "v" * 500})}, {"/a": Reply(b"1")}
    with backend(replies[0]) as ours, backend(replies[1]) as theirs:
        path = config(tmp_path, ours.url, theirs.url)
        path.write_text(path.read_text().replace(f"'{theirs.url}'", f"'{theirs.url}', version: r9"))
        told = ["replay", str(log(tmp_path, ["/a"])), "--config", str(path), *FAST, "--json"]
        result = CliRunner().invoke(main, told)
    (found,) = json.loads(result.stdout)["endpoints"]
    assert found["versions"] == {"legacy": label("v" * 500), "async": "r9"}


def test_a_request_with_too_many_credentials_to_hide_is_not_compared(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1")}
    cookies = "; ".join(f"c{number}=secret-{number}" for number in range(MAX_SECRETS + 1))
    told = ("--json", "-H", f"Cookie: {cookies}")
    result, ours, theirs = replayed(tmp_path, log(tmp_path, ["/a"]), replies, replies, *told)
    found = json.loads(result.stdout)
    assert (found["compared"], found["endpoints"], ours.requests, theirs.requests) == (0, [], [], [])
    assert (
        "skipped: 1 too many credentials (GET /a)"
        in replayed(tmp_path, log(tmp_path, ["/a"]), replies, replies, *told[1:])[0].stdout
    )


def test_equal_backends_exit_0_and_people_see_the_bound(tmp_path: Path) -> None:
    replies = {"/a": Reply(b'{"v":1}')}
    result, *_ = replayed(tmp_path, log(tmp_path, ["/a"] * 40), replies, replies)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "GET /a  not yet known (needs about 138 more)  legacy ?, async ?",
        "  40 compared, 30 with legacy asked twice, 0 differ;"
        " with 95 % confidence fewer than 8.5 % of requests do",
        "  statuses: 200 (40)",
        "40 of 40 requests compared: nothing differs but noise;"
        " not yet known whether likely equal: 1 of 1 endpoints",
    ]
    assert not (tmp_path / "access.log.replay").exists()


def test_what_is_not_yet_known_fails_only_where_parity_is_asked_for(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1")}
    few, enough = ["/a"] * 30, ["/a"] * 178
    for requests, options, code in ((few, (), 0), (few, ("--parity",), 1), (enough, ("--parity",), 0)):
        result, *_ = replayed(tmp_path, log(tmp_path, requests), replies, replies, *options)
        assert result.exit_code == code, result.output
    assert "GET /a  likely equal on 1 field (< 2 %)" in result.stdout


def test_what_differs_once_in_too_many_requests_is_no_success(tmp_path: Path) -> None:
    """Async is wrong in one answer of five, whoever asks: no difference lasts."""
    right = {"/a": Reply(b"1", headers={"content-type": "application/json"})}
    flaky = {"/a": counting(lambda n: 1 if n % 5 else 2)}
    result, *_ = replayed(tmp_path, log(tmp_path, ["/a"] * 40), right, flaky, "--concurrency", "1")
    assert result.exit_code == 1, result.output
    assert "differed once" in result.stdout


def test_a_difference_that_lasts_is_a_fault_in_the_first_request(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1")}, {"/a": Reply(b"2")}
    result, *_ = replayed(tmp_path, log(tmp_path, ["/a"] * 3), *replies, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["endpoints"][0]["verdict"] == "differs"


def test_what_moves_between_two_questions_is_no_difference(tmp_path: Path) -> None:
    """A write comes between legacy's answer and async's, where only one answer of legacy was planned."""
    at = 20 * 2 + 1  # legacy's number of the 21st request; the first 20 are asked twice
    legacy = {"/a": counting(lambda n: {"v": "old" if n < at else "new"})}
    async_ = {"/a": counting(lambda n: {"v": "old" if n < 20 else "new"})}
    file = log(tmp_path, ["/a"] * 40)
    result, *_ = replayed(tmp_path, file, legacy, async_, "--json", "--concurrency", "1")
    (found,) = json.loads(result.stdout)["endpoints"]
    verdicts = [each["verdict"] for each in found["fields"]]
    assert (result.exit_code, found["verdict"], found["moved"], verdicts) == (
        0,
        "not yet known",
        1,
        ["noise"],
    )


def test_rules_hide_and_are_counted(tmp_path: Path) -> None:
    replies = {"/a": Reply(b'{"v":1}')}, {"/a": Reply(b'{"v":2}')}
    more = "endpoints: {GET /a: {compare: {rules: [{ignore: v}]}}}"
    result, *_ = replayed(tmp_path, log(tmp_path, ["/a"] * 5), *replies, "--json", more=more)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["endpoints"][0]["hidden"] == [{"rule": "ignore v", "count": 5}]


def test_refused_credentials_are_no_evidence(tmp_path: Path) -> None:
    """The log says 200, the backends 401: nobody has seen an answer, and no pipeline may pass."""
    replies, report = {"/a": Reply(b"{}", 401)}, tmp_path / "report.xml"
    result, *_ = replayed(tmp_path, log(tmp_path, ["/a"] * 3), replies, replies, "--junit", str(report))
    assert "skipped: 3 legacy says 401: credentials? (GET /a)" in result.stdout
    assert "0 of 3 requests compared: nothing was compared" in result.stdout
    assert result.exit_code == 1
    failed = ElementTree.parse(report).getroot().find(".//testcase[@name='requests are compared']/failure")
    assert failed is not None
    assert failed.text == "legacy says 401: credentials?: 3"


def test_headers_are_sent_and_writes_only_to_a_named_sandbox(tmp_path: Path) -> None:
    entries = [
        {"request": {"method": method, "url": "http://api/a", "headers": [], **more}}
        for method, more in (("GET", {}), ("POST", {"postData": {"text": "{}"}}), ("GET", {}))
    ]
    file = tmp_path / "x.har"
    file.write_text(json.dumps({"log": {"entries": entries}}))
    replies = {"/a": Reply(b"{}")}
    header = ("-H", "Authorization: Bearer k")
    result, ours, theirs = replayed(tmp_path, file, replies, replies, *header)
    assert "skipped: 1 it may change something (POST /a)" in result.stdout
    assert {(method, fields["authorization"]) for method, _, fields in ours.requests + theirs.requests} == {
        ("GET", "Bearer k")
    }
    result, ours, theirs = replayed(tmp_path, file, replies, replies, "--sandbox", "http://127.0.0.1:1")
    assert (result.exit_code, ours.requests, theirs.requests) == (2, [], [])
    assert "Name each address as in routing.yaml and no other: http://127.0.0.1:" in result.stderr
    with backend(replies) as ours, backend(replies) as theirs:
        path = config(tmp_path, ours.url, theirs.url)
        sandbox = ["--sandbox", ours.url, "--sandbox", theirs.url]
        result = CliRunner().invoke(main, ["replay", str(file), "--config", str(path), *FAST, *sandbox])
    assert result.exit_code == 0, result.output
    assert [method for method, *_ in theirs.requests] == ["GET", "POST", "GET"]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("x\n", (), ":1: not a line of an access log"),
        ('{"log": {"entries": [', (), ":1: not JSON"),
        ("", (), "there is no request in it"),
        ('{"method": "GET", "target": "/a"}', ("--rate", "0"), "--rate 0 is not"),
        ('{"method": "GET", "target": "/a"}', ("--concurrency", "0"), "--concurrency 0 is not"),
        ('{"method": "GET", "target": "/a"}', ("--endpoint", "GET /z"), "listed are GET /a, GET /b"),
        ('{"method": "GET", "target": "/a"}', ("-H", "x"), "is not 'name: value'"),
        ('{"method": "GET", "target": "/a"}', ("--state", "/nowhere/x"), "/nowhere/x: No such file"),
    ],
)
def test_bad_input_exits_2_and_sends_nothing(
    tmp_path: Path, content: str, arguments: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "input"
    file.write_text(content)
    result, ours, theirs = replayed(tmp_path, file, {}, {}, *arguments)
    assert (result.exit_code, ours.requests + theirs.requests) == (2, [])
    assert message in result.stderr


def test_backends_that_are_gone_end_it_and_the_next_run_goes_on(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1")}
    file = log(tmp_path, ["/a"] * 60)
    with backend(replies) as ours, backend(replies) as theirs:
        path = config(tmp_path, ours.url, theirs.url)
    command = ["replay", str(file), "--config", str(path), *FAST]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "stopped: 20 requests in a row had no answer: legacy at http://127.0.0.1:" in result.stdout
    state = json.loads((tmp_path / "access.log.replay").read_text())
    assert (state["through"], state["beyond"], state["missing"]) == (0, [], [])
    file.write_text(file.read_text() + "\n")
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, "use --restart to begin again" in result.stderr) == (2, True)


def test_a_single_request_without_an_answer_exits_1_and_names_its_endpoint(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1"), "/b": Reply(b"1")}
    broken = Reply(b"3\r\n", headers={"transfer-encoding": "chunked"})
    file = log(tmp_path, ["/a", "/b", "/a"])
    result, *_ = replayed(tmp_path, file, replies, {**replies, "/b": broken})
    assert result.exit_code == 1
    assert "not answered: 1 of GET /b" in result.stdout


def test_a_body_that_is_not_whole_is_not_comparable_counted_and_named(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1"), "/b": Reply(b"1")}
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    broken = Reply(gzip.compress(b"1") + b"junk!", headers=headers)
    file, report = log(tmp_path, ["/a"] * 40 + ["/b"] * 3), tmp_path / "report.xml"
    told = ("--junit", str(report))
    result, *_ = replayed(tmp_path, file, replies, {**replies, "/b": broken}, *told)
    why = "async's body: there is more behind the end of gzip"
    assert result.exit_code == 1
    assert f"not comparable: 3 of GET /b: {why}" in result.stdout
    failed = ElementTree.parse(report).getroot().find(".//failure")
    assert failed is not None
    assert failed.text == f"GET /b: 3 not comparable: {why}"
    result, *_ = replayed(tmp_path, file, replies, {**replies, "/b": broken}, "--json")
    found = json.loads(result.stdout)
    assert (found["equal"], found["not_comparable"], found["compared"]) == (False, 3, 40)


def test_of_a_body_that_is_not_comparable_the_status_still_differs(tmp_path: Path) -> None:
    broken = Reply(b"?", 500, {"content-encoding": "x-own", "content-type": "application/json"})
    replies = {"/a": Reply(b"1")}, {"/a": broken}
    result, *_ = replayed(tmp_path, log(tmp_path, ["/a"] * 12), *replies, "--json")
    (found,) = json.loads(result.stdout)["endpoints"]
    assert [each["path"] for each in found["fields"]] == [":status"]
    assert found["not_comparable"] == {"async's body: it has a coding that is not known": 12}


def test_ctrl_c_stops_and_the_same_command_goes_on(tmp_path: Path) -> None:
    replies = {"/a": Reply(b"1")}
    file = log(tmp_path, ["/a"] * 200)  # five seconds at that rate: it must not be done before the signal
    with backend(replies) as ours, backend(replies) as theirs:
        path = config(tmp_path, ours.url, theirs.url)
        command = [sys.executable, "-m", "proxy", "replay", str(file), "--config", str(path), "--json"]
        process = subprocess.Popen(
            [*command, "--rate", "40"],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.default_int_handler
            ),  # a shell's job ignores it
        )
        deadline = time.monotonic() + 30
        while len(theirs.requests) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 130, told
        assert "run the same command again to resume" in told
        before = json.loads((tmp_path / "access.log.replay").read_text())["through"]
        asked = len(theirs.requests)
        assert 0 < before <= asked < 200
        result = CliRunner().invoke(main, [*command[3:], *FAST])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["endpoints"]
    assert found["n"] == 200
    assert len(theirs.requests) - asked <= 200 - before


def test_secrets_are_neither_told_nor_kept(tmp_path: Path) -> None:
    legacy = {"/a?sig=s3cret-sig": Reply(b'{"iban":"s3cret-one","v":1,"e":"for s3cret-key"}')}
    async_ = {"/a?sig=s3cret-sig": Reply(b'{"iban":"s3cret-two","v":2,"e":"-"}')}
    file, report = log(tmp_path, ["/a?sig=s3cret-sig"] * 3 + ["/b"] * 50), tmp_path / "report.xml"
    more = "compare: {redact: [iban]}\n" + ENDPOINTS
    gone = {"/b": Reply(b"3\r\n", headers={"transfer-encoding": "chunked"})}
    arguments = ("--json", "--junit", str(report), "-H", "Authorization: Bearer s3cret-key")
    result, *_ = replayed(tmp_path, file, legacy | gone, async_, *arguments, more=more)
    told = [result.stdout, report.read_text(), (tmp_path / "access.log.replay").read_text()]
    for text in told:
        assert "iban" in text
        assert "redacted:" in text
        assert "s3cret" not in text


def suggested(tmp_path: Path, result: Result, *arguments: str) -> Result:
    report = tmp_path / "result.json"
    report.write_text(result.stdout)
    told = ["compare", "--suggest", "--replay", str(report), "--config", str(tmp_path / "routing.yaml")]
    return CliRunner().invoke(main, [*told, *arguments])


def test_rules_for_form_are_proposed_from_a_replay_and_hide_what_they_claim(tmp_path: Path) -> None:
    ours = Reply(b'{"at": "2026-01-01T00:00:00Z", "v": [1, 2], "bio": null, "n": "1.50"}')
    theirs = Reply(b'{"at": "2026-01-01T01:00:00+01:00", "v": [2, 1], "bio": "", "n": 1.5, "new": true}')
    file = log(tmp_path, ["/a"] * 40)
    result, *_ = replayed(tmp_path, file, {"/a": ours}, {"/a": theirs}, "--json")
    proposed = suggested(tmp_path, result)
    assert proposed.exit_code == 0, proposed.output
    (found,) = json.loads(suggested(tmp_path, result, "--json").stdout)["suggestions"]
    assert (found["rules"][0]["rule"]["unordered"], found["rules"][0]["verdict"]) == ("v", "fault")
    assert found["left"] == 0 < found["differences"] == sum(each["hides"] for each in found["rules"])
    assert found["faults"] == []
    again, *_ = replayed(tmp_path, file, {"/a": ours}, {"/a": theirs}, "--json", more=proposed.stdout)
    (after,) = json.loads(again.stdout)["endpoints"]
    assert (again.exit_code, after["k"], len(after["hidden"])) == (0, 0, 5)


def test_what_is_no_form_is_listed_to_be_looked_at_and_noise_apart_from_it(tmp_path: Path) -> None:
    ours, theirs = (
        counting(lambda _, on=on, total=total: {"at": randbelow(10**9), "on": on, "total": total})
        for on, total in ((True, 5), (False, 6))
    )
    legacy, async_ = {"/a": ours, "/b": Reply(b'{"x":1}')}, {"/a": theirs, "/b": Reply(b'{"e":2}', 404)}
    result, *_ = replayed(tmp_path, log(tmp_path, ["/a", "/b"] * 30), legacy, async_, "--json")
    lines = suggested(tmp_path, result).stdout.splitlines()
    assert [line for line in lines if not line.startswith("#   ")] == [
        "# GET /a: faults to look at",
        "# GET /a: noise, which is set aside without a rule",
        "# GET /b: faults to look at",
    ]
    assert [line.partition(" (")[0] for line in lines if line.startswith("#   ")] == [
        "#   on: true against false",
        "#   total: another number",
        "#   at: another number",
        "#   status 200 against 404",
    ]
    assert lines[-1].endswith(" at :status, e, x; :status: legacy 200, async 404")
    backends = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"
    load_text(backends + "\n".join(lines), source="x", environ={})


def test_one_rule_for_all_endpoints_where_two_have_the_same_form_at_a_name(tmp_path: Path) -> None:
    legacy = {"/a": Reply(b'{"user":{"bio":null,"n":"1"}}'), "/b": Reply(b'{"bio":null,"n":"2"}')}
    async_ = {"/a": Reply(b'{"user":{"bio":"","n":1,"x":1}}'), "/b": Reply(b'{"bio":"","n":3,"x":1}')}
    file = log(tmp_path, ["/a", "/b"] * 35)
    result, *_ = replayed(tmp_path, file, legacy, async_, "--json")
    proposed = json.loads(suggested(tmp_path, result, "--json").stdout)
    (general,) = proposed["general"]
    assert (general["rule"]["equal"], general["endpoints"]) == ("**.bio", ["GET /a", "GET /b"])
    yaml = suggested(tmp_path, result).stdout
    assert yaml.count("bio") == 1
    assert '"GET /a"' in yaml
    again, *_ = replayed(tmp_path, file, legacy, async_, "--json", more=yaml + "  GET /c: {}\n")
    left = {each["path"] for one in json.loads(again.stdout)["endpoints"] for each in one["fields"]}
    assert left == {"n"}


@pytest.mark.parametrize("content", ["", "{}", '{"endpoints": [{}]}', "[]"])
def test_proposals_need_the_json_of_a_replay(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    path = config(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:2")
    told = ["compare", "--suggest", "--replay", str(tmp_path / "x"), "--config", str(path)]
    result = CliRunner().invoke(main, told)
    assert (result.exit_code, str(tmp_path / "x") in result.stderr) == (2, True)


def test_what_was_recorded_or_answered_and_hardly_compared_is_named(tmp_path: Path) -> None:
    def value(number: int) -> object:
        return {"v": 1, "x": 1} if number < 3 else {"v": 1}

    file = log(tmp_path, ["/a"] * 40)
    file.write_text(file.read_text() + '{"method": "GET", "target": "/a", "status": 404}\n' * 2)
    replies = {"/a": counting(lambda n: value(n // 2))}, {"/a": counting(value)}
    result, *_ = replayed(tmp_path, file, *replies, "--concurrency", "1", "--json")
    (found,) = json.loads(result.stdout)["endpoints"]
    assert (found["unseen_statuses"], found["other_status_than_recorded"]) == (["404"], 2)
    assert found["rare_fields"] == [{"path": "x", "count": 3}]
    replies = {"/a": counting(lambda n: value(n // 2))}, {"/a": counting(value)}
    result, *_ = replayed(tmp_path, file, *replies, "--concurrency", "1")
    assert "  recorded, and compared fewer than 30 times: 404\n" in result.stdout
    assert "  fields in fewer than 30 answers: x (3)\n" in result.stdout
    assert "  2 answered with another status than was recorded\n" in result.stdout
