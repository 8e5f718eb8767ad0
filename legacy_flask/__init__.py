"""The payments service as it has run for years: Flask, sync workers, SQLAlchemy, PostgreSQL."""
