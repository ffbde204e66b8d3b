#!/usr/bin/env python3
"""Writes grafana-dashboard.json beside this file: the panels of PANELS, three in a row.

To change the dashboard, change PANELS and run this. `make alerts` checks that the file is this
program's, that a panel shows each family of metrics, and that Prometheus accepts each expression.
"""

import json
from pathlib import Path

DASHBOARD = Path(__file__).with_name("grafana-dashboard.json")
WIDTH, HEIGHT, PANELS_A_ROW = 8, 8, 3

# The title, Grafana's unit, and the series: an expression and its legend. $job is the job of the
# scrape configuration.
PANELS = [
    (
        "Age of lists",
        "s",
        ('min by (topic) (mirror_topic_age_seconds{job="$job"})', "{{topic}}"),
        ('3 * max (mirror_refresh_period_seconds{job="$job"})', "three periods"),
    ),
    (
        "Last refresh was complete",
        "bool_yes_no",
        ('min by (topic) (mirror_topic_complete{job="$job"})', "{{topic}}"),
    ),
    (
        "Repositories stored",
        "short",
        ('max by (topic) (mirror_topic_repositories{job="$job"})', "{{topic}}"),
    ),
    (
        "Refreshes in an hour",
        "short",
        ('sum by (outcome) (increase(mirror_refreshes_total{job="$job"}[1h]))', "{{outcome}}"),
    ),
    (
        "Duration of refreshes",
        "s",
        *(
            (
                f"histogram_quantile({quantile}, sum by (le) "
                '(rate(mirror_refresh_duration_seconds_bucket{job="$job"}[6h])))',
                f"p{quantile * 100:.0f}",
            )
            for quantile in (0.5, 0.95)
        ),
    ),
    (
        "Reads of lists by tier",
        "reqps",
        (
            'sum by (tier) (rate(mirror_list_reads_total{job="$job"}[$__rate_interval]))',
            "{{tier}}",
        ),
    ),
    (
        "Answers by status",
        "reqps",
        (
            'sum by (status) (rate(http_requests_total{job="$job"}[$__rate_interval]))',
            "{{status}}",
        ),
    ),
    (
        "Answers by route and method",
        "reqps",
        (
            'sum by (route, method) (rate(http_requests_total{job="$job"}[$__rate_interval]))',
            "{{method}} {{route}}",
        ),
    ),
    (
        "Time of answers, p99",
        "s",
        (
            "histogram_quantile(0.99, sum by (le, route) "
            '(rate(http_request_duration_seconds_bucket{job="$job"}[$__rate_interval])))',
            "{{route}}",
        ),
    ),
    (
        "Requests to GitHub",
        "reqps",
        (
            "sum by (resource, outcome) "
            '(rate(mirror_github_requests_total{job="$job"}[$__rate_interval]))',
            "{{resource}} {{outcome}}",
        ),
    ),
    (
        "GitHub's quota left",
        "percentunit",
        (
            'min by (resource) (mirror_github_quota_remaining{job="$job"} '
            '/ mirror_github_quota_limit{job="$job"})',
            "{{resource}}",
        ),
    ),
    (
        "Wait that GitHub asked for",
        "s",
        ('max (mirror_github_paused_seconds{job="$job"})', "wait"),
    ),
    (
        "Connections to the database",
        "short",
        ('mirror_database_connections{job="$job"}', "{{instance}} {{state}}"),
    ),
    (
        "Failures of the database",
        "short",
        (
            'rate(mirror_database_errors_total{job="$job"}[$__rate_interval])',
            "{{instance}} errors a second",
        ),
        ('mirror_database_writes_failing{job="$job"}', "{{instance}} writes fail"),
    ),
    (
        "Lag of the standby",
        "s",
        ('mirror_database_read_lag_seconds{job="$job"}', "{{instance}}"),
    ),
    (
        "Caches",
        "short",
        ('mirror_cache_up{job="$job"}', "{{instance}} {{tier}} up"),
        (
            'rate(mirror_cache_errors_total{job="$job"}[$__rate_interval])',
            "{{instance}} {{tier}} errors a second",
        ),
    ),
    (
        "Requests to the CDN to purge answers",
        "reqps",
        (
            'sum by (outcome) (rate(mirror_purges_total{job="$job"}[$__rate_interval]))',
            "{{outcome}}",
        ),
    ),
    (
        "Memory",
        "bytes",
        ('process_resident_memory_bytes{job="$job"}', "{{instance}} resident"),
        ('process_virtual_memory_bytes{job="$job"}', "{{instance}} virtual"),
        ('mirror_memory_lists_bytes{job="$job"}', "{{instance}} lists"),
    ),
    (
        "CPU",
        "percentunit",
        ('rate(process_cpu_seconds_total{job="$job"}[$__rate_interval])', "{{instance}}"),
    ),
    (
        "Open files",
        "short",
        ('process_open_fds{job="$job"}', "{{instance}}"),
        ('process_max_fds{job="$job"}', "{{instance}} at most"),
    ),
    (
        "Time since the start",
        "s",
        ('time() - process_start_time_seconds{job="$job"}', "{{instance}}"),
    ),
    (
        "Releases",
        "short",
        (
            'count by (version, revision) (mirror_build_info{job="$job"})',
            "{{version}} {{revision}}",
        ),
    ),
    (
        "Replicas that Prometheus reaches",
        "short",
        ('sum (up{job="$job"})', "up"),
    ),
]

SOURCE = {"type": "prometheus", "uid": "${source}"}


def panel(index, title, unit, *series):
    row, column = divmod(index, PANELS_A_ROW)
    targets = [
        {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
        for place, (expression, legend) in enumerate(series)
    ]
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def dashboard():
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "job",
            "type": "query",
            "datasource": SOURCE,
            "query": "label_values(mirror_build_info, job)",
            "refresh": 2,
        },
    ]
    return {
        "title": "GitHub topic mirror",
        "uid": "github-topic-mirror",
        "tags": ["mirror"],
        "schemaVersion": 38,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": variables},
        "panels": [panel(index, *row) for index, row in enumerate(PANELS)],
    }


def text():
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text())
