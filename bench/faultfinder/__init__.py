"""How soon planted faults are found among realistic noise, and how often noise is taken for one.

    python -m bench.faultfinder --document docs/results/faultfinder.md

Everything between two answers and a verdict is the product's own: judging, looking again, counting. Only the
network is missing. Seeds are drawn at run time unless one is given.
"""
