#!/bin/sh
# Starts RabbitMQ as process 1, so that a stop signal reaches the Erlang machine itself.
#
# Like the official image it takes no credentials from files named by the environment: they belong
# in /etc/rabbitmq/conf.d. A host name with a dot makes node names long ones.
set -eu

for name in RABBITMQ_DEFAULT_USER_FILE RABBITMQ_DEFAULT_PASS_FILE; do
  if [ -n "$(printenv "$name")" ]; then
    echo "docker-entrypoint.sh: $name is not supported; write default_user and default_pass into /etc/rabbitmq/conf.d" >&2
    exit 1
  fi
done

case $(uname -n) in *.*) export RABBITMQ_USE_LONGNAME="${RABBITMQ_USE_LONGNAME:-true}" ;; esac

# With this set rabbitmq-server replaces its shell by the Erlang machine.
export RUNNING_UNDER_SYSTEMD=true
exec "$@"
