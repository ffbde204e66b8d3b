# Varnish 6.0 or later in front of the mirror, with PURGE_DIALECT=varnish. The variable PURGE_KEY of
# varnishd's environment is the mirror's PURGE_KEY.
vcl 4.1;

import std;

# The mirror, or the proxy in front of its replicas.
backend default {
    .host = "127.0.0.1";
    .port = "8081";
    .probe = {
        .url = "/health";
        .interval = 2s;
        .timeout = 1s;
        .window = 3;
        .threshold = 2;
        .initial = 2;
    }
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (std.getenv("PURGE_KEY") == ""
            || req.http.Authorization != "Bearer " + std.getenv("PURGE_KEY")) {
            return (synth(401));
        }
        if (req.http.Surrogate-Key !~ "^[a-z0-9:-]+( [a-z0-9:-]+)*$") {
            return (synth(400));
        }
        # The condition is about objects alone, so Varnish can apply it before the next request.
        ban("obj.http.Surrogate-Key ~ (^|[[:space:]])("
            + regsuball(req.http.Surrogate-Key, " ", "|") + ")($|[[:space:]])");
        return (synth(200));
    }

    # The formats that the mirror tells apart. Each other value would be a variant of its own.
    if (req.http.Accept !~ "(?i)text/csv|application/x-ndjson|json") {
        if (req.http.Accept ~ "(?i)text/html") {
            set req.http.Accept = "text/html";
        } else {
            unset req.http.Accept;
        }
    }

    # While the mirror answers, a copy is served for at most ten minutes longer than it is fresh,
    # and is fetched again at the first request.
    if (std.healthy(req.backend_hint)) {
        set req.grace = 10m;
    }
}

sub vcl_backend_response {
    # An error does not replace a copy that is being fetched again.
    if (bereq.is_bgfetch && beresp.status >= 500) {
        return (abandon);
    }
    if (beresp.http.Cache-Control ~ "stale-if-error") {
        set beresp.grace = 1d;
    }
}

sub vcl_deliver {
    unset resp.http.Surrogate-Key;
    unset resp.http.Cache-Tag;
    unset resp.http.CDN-Tag;
    # Nobody purges the caches of browsers and of other proxies, so they keep an answer for a minute.
    if (resp.http.Cache-Control ~ "s-maxage") {
        set resp.http.Cache-Control = regsub(resp.http.Cache-Control, "s-maxage=[0-9]+, ", "");
        unset resp.http.Age;
    }
}
