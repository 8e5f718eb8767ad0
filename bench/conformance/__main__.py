"""Send every case to this proxy, nginx and HAProxy, and write their differences into a document.

  python -m bench.conformance                                  print the results, and check them
  python -m bench.conformance docs/results/conformance.md      also write the table between the markers

Exits with 1 if this proxy does not do what a case says, or differs from a peer without a written reason;
with 2 if a program is missing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bench.conformance import table
from bench.conformance.cases import CHAPTERS
from bench.conformance.observe import Seen, observe
from bench.conformance.proxies import PROXIES, Proxy, start
from bench.processes import BenchError
from bench.targets import require


def run(proxy: Proxy) -> dict[str, Seen]:
    """What became of each case, by chapter and name."""
    seen = {}
    for chapter, cases in CHAPTERS.items():
        for name, case in cases.items():
            try:
                seen[f"{chapter}: {name}"] = observe(case, proxy.port, proxy.upstream)
            except OSError as error:
                raise BenchError(f"{proxy.name}, behind {chapter}, {name}: {error}") from error
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "document", type=Path, nargs="?", help="write the table into this file, between its markers"
    )
    options = parser.parse_args()
    try:
        require("nginx", "haproxy")
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
            proxies = []
            for name in PROXIES:
                proxies.append(start(name, directory))
                stack.callback(proxies[-1].stop)
            with ThreadPoolExecutor(len(proxies)) as pool:
                results = dict(zip(PROXIES, pool.map(run, proxies), strict=True))
            versions = {proxy.name: proxy.version for proxy in proxies}
    except BenchError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    text = table.render(results, versions)
    if options.document is None:
        print(text)
    else:
        options.document.write_text(table.replace(options.document.read_text(), text))
    wrong = table.wrong(results)
    print("\n".join(["WRONG:", *wrong] if wrong else [table.count(results)]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
