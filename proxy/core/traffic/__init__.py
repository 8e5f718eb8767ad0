"""What the proxy did, added up: totals, history and the ledger."""
