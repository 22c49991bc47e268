"""The lake in ten minutes: `financelake notebook` opens it, `python -m finance_lake.notebook` runs it through."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="FinanceLake")


@app.cell
def _():
    import marimo as mo
    import polars as pl

    import finance_lake as fl

    return fl, mo, pl


@app.cell
def _(mo):
    mo.md("""
    # The lake in ten minutes

    Every cell below is plain Python that you can copy. The lake may be written while you read: each answer comes from
    one version of the table, and says which.

    ## 1. Connect

    `fl.open()` takes the folder of a lake; without one, the folder that `DATA_DIR` names, or `data`. Nothing is locked,
    nothing is copied, no JVM is started.
    """)
    return


@app.cell
def _(fl, mo):
    lake = fl.open(mo.cli_args().get("data"))
    version = lake.version
    return lake, version


@app.cell
def _(lake, mo, version):
    mo.md(f"The lake has **{lake.count():,}** ticks of {len(lake.symbols())} symbols; its table is at version **{version}**.")
    return


@app.cell
def _(mo):
    mo.md("""
    ## 2. Ask

    The last tick of each symbol. `.pl()` makes it a Polars frame, `.df()` a pandas one, `.relation()` goes on in
    DuckDB; the rows themselves are Arrow. A price is an exact decimal in each of them.
    """)
    return


@app.cell
def _(lake):
    latest = lake.latest().pl()
    latest.select("symbol", "price", "size", "ts_event", "kafka_timestamp")
    return


@app.cell
def _(mo):
    mo.md("""
    In SQL there are four views: `ticks`, `bars_1m`, `latest` and `quarantine`. A query can read the lake and nothing
    else, and only so much of memory and time: you can hand it to anybody.
    """)
    return


@app.cell
def _(lake):
    busiest = lake.sql(
        """
        SELECT symbol, count(*) AS ticks, min(price) AS low, max(price) AS high, sum(size)::BIGINT AS volume
        FROM ticks GROUP BY symbol ORDER BY ticks DESC, symbol
        """
    ).pl()
    busiest
    return


@app.cell
def _(mo):
    mo.md("""
    ## 3. Bars

    Open, high, low, close, volume, VWAP and the number of ticks, of any length from a second to a day. A tick without a
    size weighs nothing: a bar in which none has one has no VWAP.
    """)
    return


@app.cell
def _(lake, mo):
    symbol = mo.ui.dropdown(options=lake.symbols(), value=lake.symbols()[0], label="symbol")
    size = mo.ui.dropdown(options=["1m", "5m", "15m", "1h"], value="5m", label="bars of")
    mo.hstack([symbol, size], justify="start")
    return size, symbol


@app.cell
def _(lake, size, symbol):
    bars = lake.bars(size.value, symbol.value).pl()
    bars
    return (bars,)


@app.cell
def _(bars, mo):
    def candles(rows, width=720, height=240):
        """Draw bars as candles: an SVG needs no library."""
        low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
        step = width / len(rows)

        def y(price):
            return float((high - price) / ((high - low) or 1)) * (height - 20) + 10

        shapes = []
        for number, row in enumerate(rows):
            x = (number + 0.5) * step
            colour = "#26a69a" if row["close"] >= row["open"] else "#ef5350"
            top, bottom = sorted((y(row["open"]), y(row["close"])))
            wick = f'y1="{y(row["high"]):.1f}" y2="{y(row["low"]):.1f}" stroke="{colour}"'
            body = f'y="{top:.1f}" height="{max(1, bottom - top):.1f}" fill="{colour}"'
            shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" {wick}/>')
            shapes.append(f'<rect x="{x - step * 0.35:.1f}" width="{step * 0.7:.1f}" {body}/>')
        title = f"<title>{len(rows)} bars between {low} and {high}</title>"
        return f'<svg viewBox="0 0 {width} {height}" role="img">{title}{"".join(shapes)}</svg>'

    chart = candles(bars.tail(120).to_dicts())
    mo.Html(chart)
    return


@app.cell
def _(mo):
    mo.md("""
    ## 4. Two symbols at the same moment

    Ticks of two symbols never fall on the same instant. An as-of join gives each tick of one the newest tick of the
    other.
    """)
    return


@app.cell
def _(lake, pl):
    one, other = lake.symbols()[0], lake.symbols()[-1]
    pairs = lake.asof(one, other).pl().drop_nulls("price_right")
    spread = pairs.select("ts_event", "price", "price_right", spread=pl.col("price") - pl.col("price_right"))
    spread
    return


@app.cell
def _(mo):
    mo.md("""
    ## 5. Travel in time

    Every commit of the job is a version that stays readable, for a week at least. `as_of` takes a version, or a time: what
    was the lake then? Ticks that came late change a bar that had been there before; here you see when.
    """)
    return


@app.cell
def _(lake):
    history = lake.history(limit=1000).pl()
    history
    return (history,)


@app.cell
def _(history, mo, version):
    oldest = history["version"].min()
    as_of = mo.ui.slider(oldest, version, value=(oldest + version) // 2, label="version", show_value=True)
    as_of
    return (as_of,)


@app.cell
def _(as_of, lake, mo, version):
    then = lake.latest(as_of=as_of.value).pl()
    counted = lake.count(as_of=as_of.value)
    mo.vstack(
        [
            mo.md(f"At version {as_of.value} of {version} the lake held {counted:,} of today's {lake.count():,} ticks."),
            then.select("symbol", "price", "ts_event"),
        ]
    )
    return


@app.cell
def _(mo):
    mo.md("""
    ## 6. Is it all there?

    Kafka numbers its records, the job writes each number beside its tick, and each commit says which numbers it has and
    what they add up to. So anybody can check, without Spark, that nothing is lost and nothing doubled. Here the files
    alone are judged; `make verify` asks the broker too, while the job runs.
    """)
    return


@app.cell
def _(lake):
    from finance_storage.lake_identity import read_identity
    from finance_verify.context import VerifyContext
    from finance_verify.verify import verify

    identity = read_identity(lake.paths)
    report = verify(lake.paths, VerifyContext(topic=identity.topic if identity else "", ask=None))
    return (report,)


@app.cell
def _(mo, report):
    mo.plain_text(report.sentence())
    return


@app.cell
def _(mo):
    mo.md("""
    What did not keep the contract is not lost either: it is in the quarantine, with its bytes. They may be anything, so
    they are shown escaped.
    """)
    return


@app.cell
def _(lake, mo):
    from finance_lake.quarantine import quarantined

    # Not as a list or a table: there a text that begins with `text/html:` would be shown as HTML.
    samples = quarantined(lake.paths, samples=1).samples
    malformed = mo.plain_text("\n".join(f"{it.reason} at {it.partition}:{it.offset}: {it.value}" for it in samples))
    malformed
    return


@app.cell
def _(mo):
    mo.md("""
    ## Where next

    `docs/COOKBOOK.md` has more questions, each with its answer. `financelake --help` lists the commands, `make
    dashboard` shows the lake live.
    """)
    return


if __name__ == "__main__":
    app.run()
