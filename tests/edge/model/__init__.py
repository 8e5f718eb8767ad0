"""A model of one worker: its real connections, exchanges, pools and sweepers, in a world that a machine moves.

loop.py         an event loop with a clock that is set by hand and callbacks that run when they are told to
transports.py   the two ends of connections: bytes in, bytes out
clients.py      clients that pipeline, leave, stall, and read every answer
backends.py     backends that answer, in pieces or not at all
store.py        the claims, in memory, by the pure rules; answers may fail or be late
settings.py     routing tables with small pools and short timeouts
invariants.py   what must hold, whatever happens in whatever order
world.py        all of it put together, and every event that can happen
machine.py      a hypothesis state machine that chooses the events
faults.py       faults put back in, one at a time: the machine has to find them
"""
