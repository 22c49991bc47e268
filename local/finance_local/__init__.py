"""The services of docker-compose.yml as local processes under a supervisor; repairs and `financelake import` beside them."""
