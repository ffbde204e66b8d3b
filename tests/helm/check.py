"""Checks the Helm chart in the container that `make chart` builds; no cluster is needed.

    check.py            renders and checks the chart with each file of values/
    check.py --accept   also writes the renders to snapshots/

Helm's own library lints and renders. The objects of Kubernetes are validated against the schemas of
the oldest and the newest version that kubernetes-validate has. Objects of operators have no schema
there; of these the script checks the required fields alone.
"""

import copy
import difflib
import re
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "deploy/helm/github-topic-mirror"
# A copy in which the link to the alert rules is a file, since Helm logs the links that it follows.
CHART = Path(tempfile.mkdtemp(), "chart")
HERE = ROOT / "tests/helm"
VERSIONS = [kubernetes_validate.utils.all_versions()[index] for index in (0, -1)]
WARNING = 2

# Objects of operators, with the fields that their definitions require.
OPERATORS = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): ["spec.parentRefs.name", "spec.rules"],
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ["spec.selector", "spec.endpoints.port"],
    ("monitoring.coreos.com/v1", "PrometheusRule"): [
        "spec.groups.name",
        "spec.groups.rules.expr",
    ],
    ("postgresql.cnpg.io/v1", "Cluster"): ["spec.instances", "spec.storage.size"],
}

# Values that the chart must refuse, and a part of the reason.
REFUSED = [
    ("replicaCount: 3", "replicaCount"),
    ("settings: { TOPIC: kubernetes }", "TOPIC"),
    ("settings: { RATE_LIMIT: many }", "RATE_LIMIT"),
    ("database: { url: mysql://database }", "url"),
    ("cron: { kind: DaemonSet }", "kind"),
    ("cron: { kind: CronJob }\nsettings: { REFRESH_SCHEDULE: '0 */5 * * * *' }", "five fields"),
    ("ingress: { enabled: true }", "hosts"),
    ("httpRoute: { enabled: true }", "parentRefs"),
]

# Settings that no replica in a cluster has: the file of SQLite, and the address on a host.
LEFT_OUT = {"DATA_DIR", "APP_BIND_ADDR"}


def render(values):
    release = helm.Config().install(CHART, "mirror", values, namespace="topics", dry_run="client")
    return release["manifest"]


def named(manifest):
    """The objects by kind and name."""
    objects = {}
    for found in yaml.safe_load_all(manifest):
        if found:
            key = (found["kind"], found["metadata"]["name"])
            assert key not in objects, f"two objects are {key}"
            objects[key] = found
    return objects


def pods(objects):
    """The pod templates by the name of their object."""
    for (kind, name), found in objects.items():
        spec = found["spec"]
        if kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield name, spec["template"]


def lint(values):
    report = helm.lint(CHART, values, strict=True, namespace="topics")
    messages = [message for message in report["messages"] if message["severity"] >= WARNING]
    assert not messages and not report["errors"], f"{messages} {report['errors']}"


def present(value, path):
    """Returns true if each element on the path has the field."""
    if not path:
        return value is not None and value not in ("", [], {})
    if isinstance(value, list):
        return bool(value) and all(present(element, path) for element in value)
    return isinstance(value, dict) and present(value.get(path[0]), path[1:])


def valid(objects):
    for key, found in objects.items():
        required = OPERATORS.get((found["apiVersion"], found["kind"]))
        if required is not None:
            for path in required:
                assert present(found, path.split(".")), f"{key} lacks {path}"
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(found, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                place = ".".join(map(str, error.path))
                raise AssertionError(f"{key}, Kubernetes {version}: {place}: {error.message}")


def selects(selector, labels):
    """Returns true if a label selector matches the labels."""
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def connected(objects):
    """Each reference between the objects leads to one of them."""
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects)}
    ports = {}
    for name, pod in pods(objects):
        containers = pod["spec"]["containers"]
        ports[name] = {port["name"] for each in containers for port in each.get("ports", [])}
    for (kind, name), found in objects.items():
        spec = found["spec"]
        if kind == "Deployment":
            assert selects(spec["selector"], labels[name]), f"{name} does not select its own pods"
        if kind == "Service":
            chosen = [own for own in labels if spec["selector"].items() <= labels[own].items()]
            assert len(chosen) == 1, f"the Service {name} selects the pods of {chosen}"
            named_ports = {port["targetPort"] for port in spec["ports"]}
            assert named_ports <= ports[chosen[0]], f"{chosen[0]} lacks ports of the Service {name}"
        if kind in ("NetworkPolicy", "PodDisruptionBudget"):
            selector = spec.get("podSelector") or spec.get("selector")
            assert any(selects(selector, own) for own in labels.values()), f"{kind} {name}: no pods"
        if kind == "HorizontalPodAutoscaler":
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in objects, name
            target = objects["Deployment", spec["scaleTargetRef"]["name"]]
            assert "replicas" not in target["spec"], "the autoscaler sets the replicas"
        if kind == "ServiceMonitor":
            services = [
                other
                for (its_kind, _), other in objects.items()
                if its_kind == "Service" and selects(spec["selector"], other["metadata"]["labels"])
            ]
            assert len(services) == 1, f"{name} selects {len(services)} Services"
            named_ports = {port["name"] for port in services[0]["spec"]["ports"]}
            assert spec["endpoints"][0]["port"] in named_ports, f"{name}: {spec['endpoints']}"
        if kind == "HTTPRoute":
            for backend in spec["rules"][0]["backendRefs"]:
                service = objects["Service", backend["name"]]
                numbers = [port["port"] for port in service["spec"]["ports"]]
                assert backend["port"] in numbers, f"HTTPRoute {name}: {backend['port']}"
        if kind == "Ingress":
            for rule in spec["rules"]:
                backend = rule["http"]["paths"][0]["backend"]["service"]
                service = objects["Service", backend["name"]]
                names = [port["name"] for port in service["spec"]["ports"]]
                assert backend["port"]["name"] in names, f"Ingress {name}: {backend['port']}"


def hardened(objects):
    """Each container has what docker-compose.yml gives each service, and no root."""
    for name, pod in pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            names = [variable["name"] for variable in container.get("env", [])]
            assert len(names) == len(set(names)), f"{name} has a variable twice: {names}"


def environment(objects, name):
    container = dict(pods(objects))[name]["spec"]["containers"][0]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def as_compose(objects):
    """With everything on, the pods have the settings and the commands of docker-compose.yml."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for service, left_out in [
        ("api", {"APP_BIND_ADDR", "MAINTENANCE_TOKEN_FILE", "GITHUB_TOKEN_FILE", "PURGE_KEY_FILE"}),
        ("cron", {"MAINTENANCE_TOKEN_FILE"}),
        ("proxy", set()),
    ]:
        theirs = services["api-a" if service == "api" else service]["environment"].keys() - left_out
        ours = environment(objects, f"topics-{service}").keys()
        assert theirs <= ours, f"the chart's {service} lacks {sorted(theirs - ours)}"
    proxy = dict(pods(objects))["topics-proxy"]["spec"]["containers"][0]
    assert proxy["args"] == services["proxy"]["command"], proxy["args"]
    probe = ["CMD", *proxy["readinessProbe"]["exec"]["command"]]
    assert probe == services["proxy"]["healthcheck"]["test"], probe
    rules = objects["PrometheusRule", "topics"]["spec"]
    assert rules == yaml.safe_load((ROOT / "deploy/alerts.yml").read_text()), "other alert rules"


def every_setting(objects):
    """Each setting of the service reaches the replicas."""
    readme = (ROOT / "README.md").read_text()
    table = set(re.findall(r"^\| `([A-Z_]+)` \| ", readme, re.M))
    assert table, "README.md has no table of settings"
    missing = table - LEFT_OUT - environment(objects, "topics-api").keys()
    assert not missing, f"the replicas lack the settings {sorted(missing)}"


def refused():
    for text, reason in REFUSED:
        try:
            render(yaml.safe_load(text))
        except helm.HelmError as error:
            assert reason in str(error), f"{text}: {error}"
        else:
            raise AssertionError(f"the chart accepts {text}")


def unchanged(name, manifest, accept):
    # A change of the alert rules changes no snapshot: `as_compose` compares them with their file.
    rules = (ROOT / "deploy/alerts.yml").read_text()
    manifest = manifest.replace(textwrap.indent(rules.strip(), "  "), "  # deploy/alerts.yml")
    snapshot = HERE / f"snapshots/{name}.yaml"
    if accept:
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(manifest)
    before = snapshot.read_text() if snapshot.exists() else ""
    if before != manifest:
        lines = difflib.unified_diff(
            before.splitlines(), manifest.splitlines(), str(snapshot.relative_to(ROOT)), "render"
        )
        raise AssertionError("\n".join([*lines, "`make chart ACCEPT=1` writes the snapshots"]))


def main():
    accept = sys.argv[1:] == ["--accept"]
    shutil.copytree(SOURCE, CHART)
    failed = 0
    rendered = {}

    def check(name, function, *arguments):
        nonlocal failed
        try:
            return function(*arguments)
        except (AssertionError, helm.HelmError) as error:
            failed += 1
            print(f"FAILED: {name}: {error}", file=sys.stderr)

    for file in sorted((HERE / "values").glob("*.yaml")):
        name, values = file.stem, yaml.safe_load(file.read_text())
        check(f"{name}: lint", lint, copy.deepcopy(values))
        manifest = check(f"{name}: render", render, values)
        if manifest is None:
            continue
        objects = check(f"{name}: objects", named, manifest)
        for function in (valid, connected, hardened):
            check(f"{name}: {function.__name__}", function, objects)
        check(f"{name}: snapshot", unchanged, name, manifest, accept)
        rendered[name] = objects
        print(f"{name}: {len(objects)} objects")
    for function in (as_compose, every_setting):
        check(function.__name__, function, rendered.get("everything") or {})
    check("refused values", refused)
    print(f"Helm {helm.helm_sdk_version()}, Kubernetes {' and '.join(VERSIONS)}: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
