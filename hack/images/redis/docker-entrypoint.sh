#!/bin/sh
# Starts Redis; a first argument that is an option or a .conf file goes to redis-server, as in the
# official image.
#
# That one is compiled with protected mode off. Debian's is not, so it is turned off here for a
# server without a configuration of its own; one with a configuration says so itself.
set -eu

case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac
[ "$*" != redis-server ] || set -- redis-server --protected-mode no

# Snapshots and logs are for this user alone.
umask 0077
exec "$@"
