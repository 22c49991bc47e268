"""The live dashboard: a small web server that reads the lake, and a page that shows it.

`feed` follows the table's log and streams each commit to all viewers, `commit_update` computes how a commit changes the
candles, `panels` answers all other requests, `app` defines the routes, and `serve` runs the server.
"""
