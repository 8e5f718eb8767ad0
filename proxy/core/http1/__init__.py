"""HTTP/1.1 message syntax (RFC 9112) as pure functions over bytes.

Stricter than the RFC asks wherever two parsers could read the same bytes differently: what is accepted
here has exactly one reading, and everything else is refused before a byte of it reaches a backend.
"""
