"""Every JSON document of the admin port is made here of typed values: docs/admin-api.md, in code."""
