"""`financelake serve`: the live dashboard."""

from __future__ import annotations

from typing import Annotated

import typer

from finance_lake.cli.app import Data, hint, paths_of, say
from finance_role.exit_codes import USAGE


def serve(
    *,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: DASHBOARD_PORT, or 8050.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the default accepts this machine only.")] = "127.0.0.1",
    name: Annotated[list[str] | None, typer.Option(help="An additional host name to accept; repeat for several.")] = None,
    data: Data = None,
) -> None:
    """Run the live dashboard, while the job writes. Ctrl-C stops it."""
    from finance_lake.config import DashboardSettings
    from finance_lake.dashboard.serve import CannotServeError, in_url
    from finance_lake.dashboard.serve import serve as run
    from finance_role.settings import settings_or_exit

    port = port or settings_or_exit(DashboardSettings).dashboard_port
    # In a container it listens on all addresses; people open it on this machine's.
    address = f"http://{in_url('127.0.0.1' if host == '0.0.0.0' else host)}:{port}"  # noqa: S104
    try:
        run(paths_of(data), host, port, name or [], lambda: say(f"The dashboard is at {address}; Ctrl-C stops it."))
    except CannotServeError as error:
        say(str(error))
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        pass
    hint("`financelake sql` queries the same lake in the terminal.")
