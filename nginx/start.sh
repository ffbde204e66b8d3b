#!/bin/sh
# What the proxy's container runs: `start.sh FOLDER` puts the configuration, filled in from the settings, into a folder that
# nginx may write to, and starts it there.
set -eu
source=$(dirname "$0")
cd "$1"
cp "$source/nginx.conf" "$source/upstream.conf" .
envsubst '${TOPICS} ${RATE_LIMIT}' <"$source/limits.conf.template" >limits.conf
exec nginx -p "$PWD/" -c "$PWD/nginx.conf" -g 'daemon off;'
