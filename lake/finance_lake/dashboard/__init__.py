"""The live dashboard: a small web server that reads the lake, and a page that shows it.

`tail` follows the tables' logs, `change` says what a commit did to the candles, `feed` gives that to every viewer, `panels`
answers all other questions, `app` puts them under their addresses and `serve` runs it.
"""
