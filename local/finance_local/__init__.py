"""The whole pipeline as local processes under a supervisor: the five roles of docker-compose.yml without Docker."""
