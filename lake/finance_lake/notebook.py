# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The tutorial notebook: `financelake notebook` opens it, `python -m finance_lake.notebook` runs all of its cells."""

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

    Every cell below is plain Python that you can copy. The job may write while you read: each result comes from one
    version of the table, and has its number.

    ## 1. Connect

    `fl.open()` accepts the folder of a lake; the default is `DATA_DIR`, or `data`. Nothing is locked, nothing is copied,
    and no JVM starts.
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
    ## 2. Query

    The newest tick of each symbol. Results are Arrow tables: `.pl()` returns a Polars frame, `.df()` a pandas frame, and
    `.relation()` a DuckDB relation. Prices are exact decimals in all of them.
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
    SQL has four views: `ticks`, `bars_1m`, `latest` and `quarantine`. A query can read the lake and nothing else, and its
    memory and time are limited, so it is safe to run queries from others.
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

    Open, high, low, close, volume, VWAP and number of ticks, for any bar size from a second to a day. A tick without size
    counts as volume 0, and a bar without volume has no VWAP.
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
    def candles(rows, width=720, height=260, right=80, bottom=24):
        """Draw bars as candles with an axis of prices and one of times (UTC), in SVG, without a library.

        Lines and text have the page's own colour, so the chart is readable on a light page and on a dark one.
        """
        low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
        step = (width - right) / len(rows)

        def y(price):
            return float((high - price) / ((high - low) or 1)) * (height - bottom - 20) + 10

        shapes = []
        for price in sorted({low + (high - low) * part / 4 for part in range(5)}):
            at = f"{y(price):.1f}"
            shapes.append(f'<line x1="0" x2="{width - right}" y1="{at}" y2="{at}" stroke="currentColor" opacity="0.2"/>')
            shapes.append(f'<text x="{width - right + 6}" y="{at}" dominant-baseline="middle">{price:.2f}</text>')
        for number in range(0, len(rows), max(1, len(rows) // 6)):
            at = (number + 0.5) * step
            shapes.append(f'<text x="{at:.1f}" y="{height - 6}" text-anchor="middle">{rows[number]["ts"]:%H:%M}</text>')
        for number, row in enumerate(rows):
            x = (number + 0.5) * step
            colour = "#26a69a" if row["close"] >= row["open"] else "#ef5350"
            top, bottom = sorted((y(row["open"]), y(row["close"])))
            wick = f'y1="{y(row["high"]):.1f}" y2="{y(row["low"]):.1f}" stroke="{colour}"'
            body = f'y="{top:.1f}" height="{max(1, bottom - top):.1f}" fill="{colour}"'
            shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" {wick}/>')
            shapes.append(f'<rect x="{x - step * 0.35:.1f}" width="{step * 0.7:.1f}" {body}/>')
        title = f"<title>{len(rows)} bars between {low} and {high}</title>"
        style = 'fill="currentColor" font-size="11" font-family="sans-serif"'
        return f'<svg viewBox="0 0 {width} {height}" role="img" {style}>{title}{"".join(shapes)}</svg>'

    chart = candles(bars.tail(120).to_dicts())
    mo.Html(chart)
    return


@app.cell
def _(mo):
    mo.md("""
    ## 4. Two symbols at the same time

    Ticks of two symbols rarely have the same time. An as-of join matches each tick of one symbol with the newest tick of
    the other at that time.
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
    ## 5. Time travel

    Every commit of the job is a version that stays readable for at least a week. `as_of` reads the lake as of a version or
    a time. Late ticks change earlier bars; with time travel you can see when.
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
    rows = lake.count(as_of=as_of.value)
    mo.vstack(
        [
            mo.md(f"At version {as_of.value} of {version} the lake had {rows:,} of its current {lake.count():,} ticks."),
            then.select("symbol", "price", "ts_event"),
        ]
    )
    return


@app.cell
def _(mo):
    mo.md("""
    ## 6. Is it complete?

    Kafka numbers its records, the job stores each offset with its tick, and each commit has the offsets it contains and a
    digest of its rows. So you can check without Spark that nothing is lost or duplicated. This cell checks the files only;
    `make verify` also compares them with the broker, while the job runs.
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
    Records that violate the contract are not lost: the quarantine has them with their bytes. These are untrusted, so they
    are shown escaped.
    """)
    return


@app.cell
def _(lake, mo):
    from finance_lake.quarantine import quarantined

    # Plain text, because a list or table would render text that begins with `text/html:` as HTML.
    samples = quarantined(lake.paths, samples=1).samples
    malformed = mo.plain_text("\n".join(f"{it.reason} at {it.partition}:{it.offset}: {it.value}" for it in samples))
    malformed
    return


@app.cell
def _(mo):
    mo.md("""
    ## Next steps

    `docs/COOKBOOK.md` has more example queries. `financelake --help` lists the commands, and `make dashboard` shows the
    lake live.
    """)
    return


if __name__ == "__main__":
    app.run()
