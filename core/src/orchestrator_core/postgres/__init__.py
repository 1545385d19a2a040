"""The only package that speaks to Postgres; statements stand in ``queries/*.sql``."""
