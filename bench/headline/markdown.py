"""One run of the headline as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.crowd.document import table
from bench.headline import arithmetic

CPU = ("backend", "proxy", "postgres", "relay", "users", "others", "machine")
HEADER = (
    "wait, backend",
    "users",
    "req/s",
    "p50 ms",
    "p99 ms",
    "p99 judged",
    "bound",
    "errors",
    "cores: backend",
)
GOAL = 20.0  # times the users, with half the processes


def render(document: Mapping[str, Any]) -> str:
    parts = [_setting(document), "![P99 against users](img/scale-p99.svg)", _capacities(document)]
    parts += ["![Ratio against the wait](img/scale-ratio.svg)", _ratios(document), _verdict(document)]
    parts += [_trips(document["capacities"]), _relay(document["relay"])]
    if "measures" in document:
        parts.append(_measures(document["measures"]))
    parts.append(_pydantic(document["pydantic"]))
    parts.append(_arithmetic(document))
    return "\n\n".join(parts)


def ratios(document: Mapping[str, Any]) -> dict[str, dict[float, float]]:
    """For each target but legacy: wait to how many times legacy's users it bore; 0 where legacy bore none."""
    legacy = {one["wait_ms"]: one["users"] for one in document["capacities"] if _is_legacy(one)}
    found: dict[str, dict[float, float]] = {}
    for one in document["capacities"]:
        if not _is_legacy(one):
            base = legacy.get(one["wait_ms"], 0)
            found.setdefault(one["target"], {})[one["wait_ms"]] = one["users"] / base if base else 0.0
    return found


def reached(document: Mapping[str, Any]) -> bool:
    """Whether half the processes bear GOAL times the users of legacy at some wait within legacy's bound."""
    half = list(ratios(document).values())[-1]
    within = {one["wait_ms"] for one in document["capacities"] if _is_legacy(one) and not one["plus_waits"]}
    return any(ratio >= GOAL for wait, ratio in half.items() if wait in within)


def _is_legacy(result: Mapping[str, Any]) -> bool:
    return str(result["target"]).startswith("legacy")


def _setting(document: Mapping[str, Any]) -> str:
    machine, plan = document["machine"], document["plan"]
    return (
        f"Measured {document['at']} on {machine['cpu']}, {machine['cores']} cores, Linux "
        f"{machine['kernel']}, Python {machine['python']}, the proxy's data path {document['data_path']}, in "
        f"{document['took']} s. Users think for "
        f"{plan['think']:g} s on average. Each number of users is watched for {plan['seconds']:g} s after "
        f"{plan['settle']:g} s, up to twice as long where requests are few, and a second time if it nearly "
        f"held. The most users are found to within a factor of {plan['precision']:g}: that is the spread to "
        f"reckon with. Up to {_others(document):.2f} cores were taken by what is not part of this."
    )


def _others(document: Mapping[str, Any]) -> float:
    steps = [step for one in document["capacities"] for step in one["steps"]]
    most: float = max(step["cpu"]["others"] for step in steps)
    return most


def _best(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The step with the most users that held, or the first one."""
    held = [step for step in result["steps"] if step["held"]]
    best: Mapping[str, Any] = max(held, key=lambda step: step["users"]) if held else result["steps"][0]
    return best


def _capacities(document: Mapping[str, Any]) -> str:
    rows = [[*HEADER, *CPU[1:], "MiB", "db conns", "more fails by"]]
    for result in document["capacities"]:
        best, cpu = _best(result), _best(result)["cpu"]
        bound = f"{result['bound_ms']:g}" + (" + waits" if result["plus_waits"] else "")
        rows.append(
            [
                f"{result['wait_ms']:g} ms, {result['target']}",
                f"**{result['users']:,}**",
                *(f"{best[key]:,.0f}" for key in ("per_second", "p50_ms", "p99_ms", "judged_ms")),
                bound,
                f"{100 * best['error_rate']:.2f} %",
                *(f"{cpu[kind]:.2f}" for kind in CPU),
                f"{result['memory'] / 2**20:,.0f}",
                str(result["database_connections"]),
                _more(result),
            ]
        )
    return table(rows)


def _more(result: Mapping[str, Any]) -> str:
    """What was short at the fewest users that did not hold."""
    missed = [step for step in result["steps"] if not step["held"]]
    if not missed:
        return "not found: the users' ports ran out"
    first = min(missed, key=lambda step: step["users"])
    return f"{first['limit']} ({first['users']:,} users)"


def _ratios(document: Mapping[str, Any]) -> str:
    found = ratios(document)
    waits = list(next(iter(found.values())))
    rows = [["times legacy's users at a wait of", *(f"{wait:g} ms" for wait in waits)]]
    for target, by_wait in found.items():
        rows.append([target, *(f"{by_wait[wait]:.1f}" if by_wait[wait] else "-" for wait in waits)])
    return table(rows)


def _verdict(document: Mapping[str, Any]) -> str:
    beyond = [one["wait_ms"] for one in document["capacities"] if _is_legacy(one) and one["plus_waits"]]
    lines = [
        f"Goal: {GOAL:g} times the users with half the processes, at a wait with which legacy can keep its "
        "bound: " + ("reached." if reached(document) else "**MISSED**.")
    ]
    if beyond:
        waits = ", ".join(f"{wait:g}" for wait in beyond)
        lines.append(
            f"At {waits} ms not even one user of legacy stays under its bound, as its requests wait longer "
            "than that in total; there legacy was judged as async is, with its own waits taken off."
        )
    cpu = [one for one in document["capacities"] if not _is_legacy(one) and "CPU" in _more(one)]
    if cpu:
        named = ", ".join(f"{one['target']} at {one['wait_ms']:g} ms" for one in cpu)
        lines.append(f"CPU, not waiting, was the limit of: {named}.")
    return " ".join(lines)


def _trips(capacities: Sequence[Mapping[str, Any]]) -> str:
    found = {str(one["target"]): one["trips"] for one in capacities}
    kinds = list(next(iter(found.values())))
    rows = [["round trips of a request", *kinds]]
    rows += [[target, *(str(trips[kind]) for kind in kinds)] for target, trips in found.items()]
    return table(rows)


def _relay(relay: Mapping[str, Mapping[str, float]]) -> str:
    rows = [["`SELECT 1`, ms", "p50", "p99"]]
    rows += [[name, f"{one['p50']:.3f}", f"{one['p99']:.3f}"] for name, one in relay.items()]
    return "What the relay itself adds:\n\n" + table(rows)


def _measures(measures: Mapping[str, Any]) -> str:
    rows = [["measure", "users", "req/s", "p99 judged, ms", "backend CPU ms/req", "round trips/req"]]
    rows[0] += ["db conns", "bytes/req", "more fails by"]
    for one in measures["rows"]:
        if "skipped" in one:
            rows.append([one["name"], one["skipped"], *[""] * 7])
            continue
        best = _best(one)
        rows.append(
            [
                one["name"],
                f"**{one['users']:,}**",
                f"{best['per_second']:,.0f}",
                f"{best['judged_ms']:,.0f}",
                f"{1e3 * best['cpu']['backend'] / max(1e-9, best['per_second']):.2f}",
                f"{best['trips']:.2f}",
                str(one["database_connections"]),
                f"{best['received']:,.0f}",
                _more(one),
            ]
        )
    text = (
        f"What each measure brought, at a wait of {measures['wait_ms']:g} ms, "
        f"with {measures['processes']} processes:"
    )
    return f"{text}\n\n{table(rows)}"


def _pydantic(found: Mapping[str, Any]) -> str:
    new, old = found["versions"]
    rows = [["", f"Pydantic {new}, us", f"{old} (pydantic.v1), us", "times"]]
    rows += [[name, f"{a:,.1f}", f"{b:,.1f}", f"{b / a:.1f}"] for name, (a, b) in found["us"].items()]
    return table(rows)


def _arithmetic(document: Mapping[str, Any]) -> str:
    """For the largest wait with which legacy could keep its bound."""
    within = [one for one in document["capacities"] if not _is_legacy(one) or not one["plus_waits"]]
    waits = [one["wait_ms"] for one in within if _is_legacy(one) and one["users"]]
    if not waits:
        return "No arithmetic: there is no wait with which legacy could keep its bound."
    cores, gib = arithmetic.SERVER
    rows = [
        ["", "processes", "cores busy", "proxy and database, cores busy", "GiB", "servers", "USD a month"]
    ]
    for pause in arithmetic.PAUSES:
        for one in document["capacities"]:
            if one["wait_ms"] == max(waits) and one["users"]:
                found = arithmetic.need(one, _best(one), document["plan"]["think"], pause)
                name = f"each asks every {pause:g} s; as {found.name} did"
                cells = [f"{found.processes:,}", f"{found.cores:,.1f}", f"{found.others:,.1f}"]
                rows.append([name, *cells, f"{found.gib:,.1f}", str(found.servers), f"{found.dollars:,.0f}"])
    text = (
        f"{arithmetic.USERS:,} users at a wait of {max(waits):g} ms, on servers of {cores} cores and "
        f"{gib:g} GiB at {arithmetic.PRICE:.2f} USD an hour, {100 * arithmetic.BUSY:g} % busy, two at "
        "least:"
    )
    return f"{text}\n\n{table(list(dict.fromkeys(map(tuple, rows))))}"
