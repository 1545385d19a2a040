#!/bin/sh
# Makes the role's password the one in the Secret, before Postgres starts.
#
# A new volume has no PG_VERSION: the image makes its database with the Secret's password. For an
# older one the digest beside the data tells whether the Secret says something new. No statement
# is logged, because this one holds a password.
set -eu

digest=$(sha256sum <"$POSTGRES_PASSWORD_FILE")
known=$DATA_FOLDER/password.sha256
if [ -s "$PGDATA/PG_VERSION" ] && [ "$(cat "$known" 2>/dev/null)" != "$digest" ]; then
  password=$(sed "s/'/''/g" "$POSTGRES_PASSWORD_FILE")
  printf "ALTER ROLE \"%s\" PASSWORD '%s'\n" "$POSTGRES_USER" "$password" |
    postgres --single -D "$PGDATA" -c exit_on_error=on -c log_min_error_statement=panic \
      "$POSTGRES_DB" >/dev/null
  echo "the role's password is now the Secret's"
fi
printf '%s' "$digest" >"$known"
