"""The payments service as it will be: FastAPI, asyncpg, PostgreSQL."""
