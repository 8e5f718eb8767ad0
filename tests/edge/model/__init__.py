"""A model of one worker: its real connections, exchanges, pools and sweepers in a world that a machine moves.

loop.py         an event loop with a clock that is set by hand; callbacks run when they are told to
transports.py   the two ends of connections: bytes in, bytes out
wire.py         just enough HTTP to take apart what is on them
clients.py      clients that pipeline, leave, stall, and read every answer
backends.py     backends that answer, in pieces or not at all
store.py        the claims, in memory, by the pure rules; answers may fail or be late
settings.py     routing tables with small pools and short timeouts
replaced.py     what stands in for parts that ask the kernel, or that have no order
invariants.py   what must hold, whatever happens in whatever order
world.py        all of it put together
events.py       every event that can happen
walk.py         chooses events at random, thousands per second, and shortens what it finds
machine.py      the same as a hypothesis state machine
faults.py       fixes taken out again: the model has to find that
"""
