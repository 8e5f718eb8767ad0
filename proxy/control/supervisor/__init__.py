"""Keeps the workers alive: starts them, adopts orphans, replaces the dead, pushes snapshots, drains.

A *slot* (`slots.py`) is a worker number with one task that keeps a process in it. Connections (`links.py`)
are matched to processes by pid. One that matches none is *unclaimed*: a child that is just being started, or
an orphan of a control process that died. An orphan is adopted at start-up if it listens on our socket and its
slot is empty; what nobody claimed within a second is retired: it drains as one that a roll (`roll.py`) has
replaced. Those that live are the *crew* (`crew.py`); `retirement.py` is how they go.
"""
