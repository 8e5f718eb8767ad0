"""Guarded rollouts in the control process: moves weights as `proxy.core.rollout` decides, and says so.

One control process leads by a lease (`leadership`). Each second it gathers what speaks for and against each
rollout (`gathering`), decides (`deciding`), and stores what has changed; the others follow what is stored.
`board` is what this process knows, `force` brings it to the workers, `kept` holds it on disk for when the
database is away. `actions` are what people do, `figures` what they are shown.
"""
