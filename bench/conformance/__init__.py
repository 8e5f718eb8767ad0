"""The same bytes to our proxy, to nginx and to HAProxy: `python -m bench.conformance`.

`cases.py` has the list; the tests of the edge read the same one.
"""
