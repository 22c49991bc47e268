"""`python -m finance_lake`: the financelake command where only the source is present, as in the job's image."""

from finance_lake.cli import app

app(prog_name="financelake")
