"""Pure decisions: no I/O, no clock, no randomness, no logging. Everything else in `proxy` calls into this."""
