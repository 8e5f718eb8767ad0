#!/bin/sh
# PgBouncer reads passwords from a file only: made here from the environment, in memory.
set -eu
umask 077
password=$(printf %s "${POSTGRES_PASSWORD:?is needed}" | sed 's/"/""/g')
printf '"payments" "%s"\n' "$password" > /tmp/userlist.txt
exec pgbouncer /opt/pgbouncer/pgbouncer.ini
