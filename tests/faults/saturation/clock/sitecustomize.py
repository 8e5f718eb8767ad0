"""Python runs this first where this folder is in PYTHONPATH: it gives one worker of the proxy a wrong clock.

Which one: the first to find the file that FAULTS_CLOCK names. It holds the seconds by which the clock is off.
"""

import contextlib
import os
import sys

if "proxy.edge" in sys.orig_argv and "LD_PRELOAD" not in os.environ:
    told = os.environ["FAULTS_CLOCK"]
    with contextlib.suppress(FileNotFoundError):
        os.rename(told, f"{told}.{os.getpid()}")  # nobody else finds it now
        with open(f"{told}.{os.getpid()}") as file:
            offset = file.read()
        wrong = {
            "LD_PRELOAD": os.environ["FAULTS_LIBFAKETIME"],
            "FAKETIME": offset,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with that fix threads that wait for each other do for ever
        }
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wrong})
