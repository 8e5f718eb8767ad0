"""The whole migration on one machine: database, both backends, proxy, traffic."""
