#!/bin/sh
# What the proxy's container runs: `start.sh FOLDER` puts the configuration, filled in from the settings, into a folder that
# nginx may write to, and starts it there.
set -eu
# Empty is unset, and that is as in .env.
export RATE_LIMIT="${RATE_LIMIT:-500}"
case $RATE_LIMIT in
*[!0-9]* | 0* | ??????????*)
    echo "RATE_LIMIT: \"$RATE_LIMIT\" is not accepted; give a whole number from 1 to 999999999" >&2
    exit 2
    ;;
esac
source=$(dirname "$0")
cd "$1"
cp "$source/nginx.conf" "$source/upstream.conf" .
envsubst '${TOPICS} ${RATE_LIMIT}' <"$source/limits.conf.template" >limits.conf
exec nginx -p "$PWD/" -c "$PWD/nginx.conf" -g 'daemon off;'
