"""The `financelake` command, one module per subcommand. In a container: `python -m finance_lake`.

Subcommands import their dependencies when they run. This keeps `--help` and completion fast, and lets `verify`, `quarantine`,
`show` and `status` work without DuckDB.
"""

from __future__ import annotations

from finance_lake.cli import (
    backup,
    bars,
    check,
    doctor,
    export,
    history,
    notebook,
    quarantine,
    reconcile,
    seal,
    serve,
    show,
    sources,
    sql,
    status,
    tail,
    topic,
    verify,
)
from finance_lake.cli.app import app

app.command()(status.status)
app.command()(show.show)
app.command()(doctor.doctor)
app.command()(tail.tail)
app.command()(sql.sql)
app.command()(bars.bars)
app.command()(history.history)
app.command()(verify.verify)
app.command()(reconcile.reconcile)
app.command()(seal.seal)
app.command()(check.check)
app.command()(sources.sources)
app.command()(quarantine.quarantine)
app.command()(export.export)
app.command()(backup.backup)
app.command()(serve.serve)
app.command()(notebook.notebook)
app.add_typer(topic.topic, name="topic")

__all__ = ["app"]
