"""The whole pipeline as local processes under one supervisor: the five roles of docker-compose.yml without Docker."""
