"""`strangler serve` with scripted workers."""

from __future__ import annotations

import sys
from pathlib import Path

from proxy.compare.one_off import one_off
from proxy.config import ConfigErrors
from proxy.control.errors import StartupError
from proxy.control.main import run

if __name__ == "__main__":
    try:
        fake = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
        run(Path(sys.argv[1]), worker=fake, one_off=one_off)
    except (ConfigErrors, StartupError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
