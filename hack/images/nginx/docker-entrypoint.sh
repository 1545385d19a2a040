#!/bin/sh
# Starts nginx. The official image's scripts in /docker-entrypoint.d, which write configuration from
# the environment, are left out: the operator mounts a finished configuration.
set -eu
exec "$@"
