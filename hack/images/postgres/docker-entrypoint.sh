#!/bin/sh
# Starts Postgres and makes its database first where there is none.
#
# Keeps what the operator relies on of the official image: POSTGRES_USER, POSTGRES_PASSWORD,
# POSTGRES_DB and POSTGRES_INITDB_ARGS, each also as NAME_FILE, and PGDATA. The database is made
# beside PGDATA and renamed into place, so that a container killed half-way starts over instead of
# taking a half-made folder for a database.
set -eu

fail() {
  echo "docker-entrypoint.sh: $1" >&2
  exit 1
}

# The value of a variable, of the file that NAME_FILE names, or a default.
setting() { # NAME DEFAULT
  eval "value=\${$1:-} file=\${$1_FILE:-}"
  if [ -n "$value" ] && [ -n "$file" ]; then fail "both $1 and $1_FILE are set; set one of them"; fi
  if [ -n "$file" ]; then value=$(cat "$file") || fail "$1_FILE names $file, which cannot be read"; fi
  printf '%s' "${value:-$2}"
}

make_database() {
  user=$(setting POSTGRES_USER postgres)
  password=$(setting POSTGRES_PASSWORD '')
  database=$(setting POSTGRES_DB "$user")
  arguments=$(setting POSTGRES_INITDB_ARGS '')
  [ -n "$password" ] || fail "a new database needs POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"
  unfinished=$PGDATA.unfinished
  rm -rf "$unfinished" && mkdir -p "$unfinished" ||
    fail "cannot write beside $PGDATA: mount the volume one folder above it"
  password_file=$(mktemp) && printf '%s\n' "$password" >"$password_file"
  # shellcheck disable=SC2086 # the arguments are a list of words
  initdb --pgdata="$unfinished" --username="$user" --pwfile="$password_file" $arguments
  rm -f "$password_file"
  printf '\nhost all all all scram-sha-256\n' >>"$unfinished/pg_hba.conf"
  if [ "$database" != postgres ]; then
    quoted=$(printf '%s' "$database" | sed 's/"/""/g')
    printf 'CREATE DATABASE "%s"\n' "$quoted" | postgres --single -D "$unfinished" postgres >/dev/null
  fi
  sync -f "$unfinished"
  mv -T "$unfinished" "$PGDATA"
}

case ${1:-} in -*) set -- postgres "$@" ;; esac

if [ "${1:-}" = postgres ]; then
  [ "$(id -u)" != 0 ] || fail "run as user 999; this image does not start as root"
  [ -s "$PGDATA/PG_VERSION" ] || make_database
  # A volume's group ownership (fsGroup) opens the folder to the group; Postgres refuses that.
  chmod 0700 "$PGDATA"
fi

exec "$@"
