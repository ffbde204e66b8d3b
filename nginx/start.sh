#!/bin/sh
# The command of the proxy's container. `start.sh FOLDER` writes the configuration, with the
# settings filled in, into a folder that nginx may write to, and starts nginx there. A second
# argument takes the place of /etc/resolv.conf.
set -eu
# Empty counts as unset, and the default is that of .env.
export RATE_LIMIT="${RATE_LIMIT:-500}"
case $RATE_LIMIT in
*[!0-9]* | 0* | ??????????*)
    echo "RATE_LIMIT: \"$RATE_LIMIT\" is not accepted; give a whole number from 1 to 999999999" >&2
    exit 2
    ;;
esac
# nginx needs the address of the engine's resolver, which differs: Docker's is 127.0.0.11, Podman's
# is on the container's network. Only the first one counts, as for other programs, because nginx
# would take turns with the rest. nginx cannot parse an address with a zone (fe80::1%eth0).
RESOLVER=$(awk '$1 == "nameserver" && $2 != "" && $2 !~ /%/ {
    print ($2 ~ /:/ ? "[" $2 "]" : $2)
    exit
}' "${2:-/etc/resolv.conf}")
export RESOLVER
if [ -z "$RESOLVER" ]; then
    echo "${2:-/etc/resolv.conf} names no nameserver, so nginx cannot find the replicas" >&2
    exit 2
fi
case ${REPLICAS:-} in
*[!A-Za-z0-9.:\ _-]*)
    echo "REPLICAS: \"$REPLICAS\" is not accepted; give HOST:PORT, several separated by spaces" >&2
    exit 2
    ;;
esac
source=$(dirname "$0")
cd "$1"
cp "$source/nginx.conf" .
for name in limits.conf upstream.conf; do
    envsubst '${TOPICS} ${RATE_LIMIT} ${RESOLVER}' <"$source/$name.template" >"$name"
done
# REPLICAS takes the place of the stack's replicas. A name with several addresses stands for all of
# them.
if [ -n "${REPLICAS:-}" ]; then
    awk -v replicas="$REPLICAS" '
        /server api-a:5000/ {
            count = split(replicas, names, " ")
            for (i = 1; i <= count; i++) {
                line = $0
                sub("api-a:5000", names[i], line)
                print line
            }
        }
        !/server api-[ab]:5000/
    ' upstream.conf >upstream.new
    mv upstream.new upstream.conf
fi
exec nginx -p "$PWD/" -c "$PWD/nginx.conf" -g 'daemon off;'
