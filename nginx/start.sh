#!/bin/sh
# The command of the proxy's container. `start.sh FOLDER` writes the configuration, with the
# settings filled in, into a folder that nginx may write to, and starts nginx there.
set -eu
# Empty counts as unset, and the default is that of .env.
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
