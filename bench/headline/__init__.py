"""How many users legacy and async bear, with the I/O waits that production has."""
