"""Checks of the chart `helm/tidemill`: with Helm's own code, against the schemas of Kubernetes and of what surrounds it.

    check.py --tidemill target/debug/tidemill     all checks
    check.py --update                             writes the chart's README anew

Prints what is wrong, and last a line as the test programs of Rust print it. Nothing here talks to a cluster.
"""

import argparse
import copy
import json
import logging
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import helm_python as helm
import jsonschema
import kubernetes_validate
import yaml

import invariants
import readme

HERE = pathlib.Path(__file__).resolve().parent
HELM = HERE.parent
CHART = HELM / "tidemill"
EXAMPLE = HELM.parent / "examples" / "10-kubernetes"
# The oldest that the chart takes, one in between, and the newest that most clusters have.
VERSIONS = ["1.27", "1.31", "1.34"]
RELEASE, NAMESPACE = "rel", "workers"

# Rules of checkov that do not hold here, each with its reason.
NOT_FOR_US = {
    "CKV_K8S_11": "no CPU limit on purpose: throttling delays pings and acks",
    "CKV_K8S_14": "a tag is the user's business; the chart's own default is a version, and a digest can be given",
    "CKV_K8S_15": "IfNotPresent: tags of releases do not move, and a node without registry can still start a replica",
    "CKV_K8S_43": "the same: image.digest is there for those who want it",
}
# The same for the pod of `helm test`.
NOT_FOR_TESTS = {
    "CKV_K8S_8": "it ends by itself, within a time of its own",
    "CKV_K8S_9": "nobody waits for it to become ready",
    "CKV2_K8S_6": "it tries what the broker lets anyone do, and is gone after a minute",
}


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def that(self, holds, what, why=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}" + (f"\n    {why}" if why else ""))

    def none(self, wrong, what):
        self.that(not wrong, what, "\n    ".join(map(str, wrong)))


def load(path):
    return yaml.safe_load(path.read_text())


def merged(base, over):
    result = copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def render(values):
    """All objects that Helm makes of these values."""
    files = helm.Chart.load(str(CHART)).render(values, name=RELEASE, namespace=NAMESPACE)
    objects = []
    for path, text in files.items():
        if not path.endswith(".txt"):
            objects += [one for one in yaml.safe_load_all(text) if one]
    return objects, files


def mistakes(thing, version, schemas):
    """What a schema has against an object, or nothing."""
    kind = thing["kind"]
    try:
        if kind in schemas:
            jsonschema.validate(thing, schemas[kind])
        else:
            kubernetes_validate.validate(thing, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return [f"{kind} {thing['metadata']['name']}: {error}"]
    return []


def check_values_file(tally, path, schemas, tidemill, folder):
    name = path.name
    values = load(path)
    for version in VERSIONS:
        report = helm.lint(str(CHART), values, strict=True, namespace=NAMESPACE, kube_version=f"v{version}.0")
        bad = [m for m in report["messages"] if m["severity"] >= 2] + report["errors"]
        tally.none(bad, f"{name}: helm lint --strict for Kubernetes {version}")
    objects, files = render(values)
    for version in VERSIONS:
        wrong = [text for thing in objects for text in mistakes(thing, version, schemas)]
        tally.none(wrong, f"{name}: valid for Kubernetes {version}")
    notes = [text for file, text in files.items() if file.endswith("NOTES.txt")]
    tally.that(notes and "Next:" in notes[0], f"{name}: NOTES say what comes next")
    for rule, broken in invariants.check(objects):
        tally.none(broken, f"{name}: {rule}")
    config = next(thing for thing in objects if thing["kind"] == "ConfigMap")["data"]["tidemill.toml"]
    if tidemill:
        check_config(tally, name, config, objects, tidemill, folder)
    tests = [thing for thing in objects if thing["kind"] == "Pod"]
    keep(folder / "tests", name, tests)
    keep(folder / "objects", name, [thing for thing in objects if thing not in tests])
    return objects


def keep(folder, name, objects):
    """Writes objects for checkov, in the namespace that they will get."""
    folder.mkdir(exist_ok=True)
    placed = [merged(thing, {"metadata": {"namespace": NAMESPACE}}) for thing in objects]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(placed))


def check_config(tally, name, config, objects, tidemill, folder):
    """The worker's own loader takes the file, together with the variables of the pod."""
    place = folder / f"{name}.toml"
    place.write_text(config)
    durable = any(thing["kind"] == "StatefulSet" for thing in objects)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL_")}
    if durable:
        environment["TIDEMILL_IDENTITY__REPLICA"] = f"{RELEASE}-tidemill-0"
    ran = subprocess.run(
        [tidemill, "check", "--json", "--config", place], env=environment, capture_output=True, text=True, timeout=60
    )
    tally.that(ran.returncode == 0, f"{name}: the worker takes the configuration", ran.stdout + ran.stderr)


def check_refusals(tally):
    base = load(CHART / "ci" / "deployment-values.yaml")
    for case in load(HERE / "refusals.yaml"):
        what = f"refused: {case['name']}"
        kinds = {"schema": helm.HelmValuesError, "template": helm.HelmRenderError}
        try:
            render(merged(base, case["values"]))
        except helm.HelmError as error:
            fits = isinstance(error, kinds[case.get("by", "template")]) and case["says"] in str(error)
            tally.that(fits, what, f"it says: {error}")
        else:
            tally.that(False, what, "it was rendered")


def check_grace_periods(tally):
    """The grace period for deadlines as people write them."""
    base = load(CHART / "ci" / "deployment-values.yaml")
    cases = [
        ({"deadline": "30s"}, 45),
        ({"deadline": "1m 30s"}, 105),
        ({"deadline": "2min"}, 135),
        ({"deadline": "1h"}, 3615),
        ({"deadline": "1500ms"}, 17),
        ({"deadline": "30s", "force": "20s"}, 60),
        ({"deadline": None}, 45),
    ]
    for drain, expected in cases:
        objects, _ = render(merged(base, {"config": {"drain": drain}}))
        found = invariants.pod_of(objects)["spec"]["terminationGracePeriodSeconds"]
        tally.that(found == expected, f"grace period for {drain}", f"{found} instead of {expected}")


def check_pod_pattern(tally):
    """KEDA counts the pods of this release, and those of no release whose name begins alike."""
    base = load(CHART / "ci" / "keda-values.yaml")
    deployed = ["rel-tidemill-7d4b9c8f6d-x2x4z", "rel-tidemill-5c6d7f8b9-abcde"]
    numbered = ["rel-tidemill-0", "rel-tidemill-12"]
    others = ["rel-tidemill-b-7d4b9c8f6d-x2x4z", "rel-tidemill-b-0", "rel-tidemill-2-7d4b9c8f6d-x2x4z", "rel-tidemill-2-0"]
    for workload, ours, not_ours in [
        ("Deployment", deployed, numbered + others),
        ("StatefulSet", numbered, deployed + others),
    ]:
        objects, _ = render(merged(base, {"workload": workload}))
        scaled = next(one for one in objects if one["kind"] == "ScaledObject")
        query = scaled["spec"]["triggers"][0]["metadata"]["query"]
        # Prometheus anchors expressions at both ends.
        pattern = re.search(r'pod=~"([^"]+)"', query).group(1)
        tally.none([pod for pod in ours if not re.fullmatch(pattern, pod)], f"KEDA counts the pods of its {workload}")
        tally.none([pod for pod in not_ours if re.fullmatch(pattern, pod)], f"KEDA counts no pods of others: {workload}")


def check_persistence(tally):
    """A volume has the place for what the broker may still hold, unless the values name another or none."""
    base = load(CHART / "ci" / "statefulset-values.yaml")

    def identity(over):
        objects, _ = render(merged(base, over))
        config = next(one for one in objects if one["kind"] == "ConfigMap")["data"]["tidemill.toml"]
        return tomllib.loads(config)["identity"].get("state_dir")

    cases = [
        ({}, "/var/lib/tidemill/state"),
        ({"persistence": {"mountPath": "/data/"}}, "/data/state"),
        ({"config": {"identity": {"state_dir": "/var/lib/tidemill/own"}}}, "/var/lib/tidemill/own"),
        ({"config": {"identity": {"state_dir": None}}}, None),
        ({"persistence": {"enabled": False}}, None),
    ]
    for over, expected in cases:
        found = identity(over)
        tally.that(found == expected, f"state_dir for {over}", f"{found} instead of {expected}")


def check_rolling(tally):
    """A changed configuration changes the pods, and nothing else about the release does."""
    base = load(CHART / "ci" / "deployment-values.yaml")

    def pod(over):
        return invariants.pod_of(render(merged(base, over))[0])

    tally.that(pod({}) == pod({}), "the same values make the same pods")
    tally.that(pod({"config": {"log": {"filter": "debug"}}}) != pod({}), "a changed configuration rolls the pods")
    tally.that(pod({"replicas": 7}) == pod({}), "another number of replicas rolls nothing")


def check_documents(tally):
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    tally.none(readme.undocumented(values, readme.documented(text)), "every value is documented with `# --`")
    schema = load(CHART / "values.schema.json")
    tally.none(list(not_in_schema(values, schema)), "every value is in values.schema.json")
    tally.none(list(too_open(schema)), "values.schema.json takes nothing unknown")
    there = (CHART / "README.md").read_text() if (CHART / "README.md").exists() else ""
    fresh = readme.render(load(CHART / "Chart.yaml"), text)
    tally.that(there == fresh, "the chart's README is up to date", "run cargo xtask chart --update")


def not_in_schema(values, schema, path=""):
    for key, value in values.items():
        known = schema.get("properties", {})
        if key not in known:
            if schema.get("additionalProperties") is False:
                yield path + key
        elif isinstance(value, dict):
            yield from not_in_schema(value, known[key], f"{path}{key}.")


def too_open(schema, path=""):
    """Objects with properties of the chart's own that take others, too; `config` is the worker's."""
    for key, inner in schema.get("properties", {}).items():
        if path + key == "config":
            continue
        if "properties" in inner and inner.get("additionalProperties") is not False:
            yield path + key
        yield from too_open(inner, f"{path}{key}.")


def check_policy(tally, folder, skipped):
    checkov = pathlib.Path(sys.executable).with_name("checkov")
    ran = subprocess.run(
        [checkov, "--directory", folder, "--framework", "kubernetes", "--skip-download", "--compact", "--quiet",
         "--output", "json", "--skip-check", ",".join(skipped)],
        capture_output=True, text=True, timeout=170, env={**os.environ, "LOG_LEVEL": "ERROR"},
    )  # fmt: skip
    try:
        result = json.loads(ran.stdout)
    except json.JSONDecodeError:
        tally.that(False, "checkov ran", ran.stdout[-2000:] + ran.stderr[-2000:])
        return
    result = result[0] if isinstance(result, list) else result
    failed = [f"{one['check_id']} {one['check_name']}: {one['file_path']} {one['resource']}"
              for one in result.get("results", {}).get("failed_checks", [])]  # fmt: skip
    tally.none(sorted(set(failed)), f"checkov: {folder.name}")
    looked = result.get("summary", {}).get("passed", 0)
    tally.that(looked > 100, f"checkov looked at {folder.name}", f"at {looked} things: {ran.stderr[-1000:]}")


def check_example(tally, schemas, tidemill, folder):
    """What the guide tells people to apply."""
    check_values_file(tally, EXAMPLE / "values.yaml", schemas, tidemill, folder)
    for path in sorted(EXAMPLE.glob("*.yaml")):
        if path.name == "values.yaml":
            continue
        objects = [one for one in yaml.safe_load_all(path.read_text()) if one]
        for version in VERSIONS:
            wrong = [text for thing in objects for text in mistakes(thing, version, schemas)]
            tally.none(wrong, f"{path.name}: valid for Kubernetes {version}")
        keep(folder / "objects", path.name, objects)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidemill", help="the program that checks configuration files")
    parser.add_argument("--update", action="store_true", help="write the chart's README anew")
    arguments = parser.parse_args()
    if arguments.update:
        text = readme.render(load(CHART / "Chart.yaml"), (CHART / "values.yaml").read_text())
        (CHART / "README.md").write_text(text)
        return 0
    # Helm logs each refusal, and refusals are what is tested.
    logging.disable(logging.CRITICAL)
    tally = Tally()
    schemas = {path.stem: json.loads(path.read_text()) for path in (HERE / "schemas").glob("*.json")}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        seen = set()
        for path in sorted((CHART / "ci").glob("*-values.yaml")):
            seen |= {thing["kind"] for thing in check_values_file(tally, path, schemas, arguments.tidemill, folder)}
        # A template that no values file reaches is tested by nobody.
        expected = {"ConfigMap", "Deployment", "StatefulSet", "Service", "ServiceAccount", "PodDisruptionBudget", "Pod",
                    "HorizontalPodAutoscaler", "ScaledObject", "ServiceMonitor", "PodMonitor", "NetworkPolicy"}  # fmt: skip
        tally.none(expected - seen, "every kind of object is rendered by some values file")
        check_example(tally, schemas, arguments.tidemill, folder)
        check_refusals(tally)
        check_grace_periods(tally)
        check_pod_pattern(tally)
        check_persistence(tally)
        check_rolling(tally)
        check_documents(tally)
        try:
            jsonschema.validate(load(HELM / "prometheus-adapter.yaml"), schemas["prometheus-adapter"])
            tally.that(True, "")
        except jsonschema.ValidationError as error:
            tally.that(False, "helm/prometheus-adapter.yaml", str(error))
        check_policy(tally, folder / "objects", NOT_FOR_US)
        check_policy(tally, folder / "tests", NOT_FOR_US | NOT_FOR_TESTS)
    word = "FAILED" if tally.failed else "ok"
    print(f"test result: {word}. {tally.passed} passed; {tally.failed} failed; 0 ignored; 0 measured; 0 filtered out")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
