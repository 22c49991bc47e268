"""`financelake serve`: the live dashboard."""

from __future__ import annotations

from typing import Annotated

import typer

from finance_lake.cli.app import Data, hint, paths_of, say
from finance_role.exit_codes import USAGE


def serve(
    *,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: DASHBOARD_PORT, or 8050.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen at; only this machine reaches the default.")] = "127.0.0.1",
    name: Annotated[list[str] | None, typer.Option(help="A further host name that browsers may call it by.")] = None,
    data: Data = None,
) -> None:
    """Show the lake live in the browser, while the job writes. Ctrl-C ends it."""
    from finance_lake.config import DashboardSettings
    from finance_lake.dashboard.serve import CannotServeError, in_url
    from finance_lake.dashboard.serve import serve as run
    from finance_role.settings import settings_or_exit

    wanted = port or settings_or_exit(DashboardSettings).dashboard_port
    # Within a container it listens at all addresses, and is called by this machine's.
    address = f"http://{in_url('127.0.0.1' if host == '0.0.0.0' else host)}:{wanted}"  # noqa: S104
    try:
        run(paths_of(data), host, wanted, name or [], lambda: say(f"The dashboard is at {address}; Ctrl-C ends it."))
    except CannotServeError as error:
        say(str(error))
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        pass
    hint("`financelake sql` asks the same lake in the terminal.")
