"""Every JSON document of the admin port is built here from typed values: docs/admin-api.md, in code."""
