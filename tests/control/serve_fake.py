"""`strangler serve` with scripted workers."""

from __future__ import annotations

import gc
import sys
from pathlib import Path


def main() -> None:
    gc.disable()  # as proxy/entry.py does while it imports
    from proxy.cli.serve import one_off
    from proxy.config import ConfigErrors
    from proxy.control.errors import StartupError
    from proxy.control.main import run

    try:
        fake = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
        run(Path(sys.argv[1]), worker=fake, one_off=one_off)
    except (ConfigErrors, StartupError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
