"""A stand-in for the bank that the payments service asks for exchange rates; slow and failing as told."""
