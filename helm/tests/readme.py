"""The chart's README: written from Chart.yaml and the comments in values.yaml, so that it never says anything else.

A comment that starts with `# --` documents the value below it and the lines of comment that follow belong to it. A value
that is a mapping with documented values in it has no row of its own.
"""

import json
import re

import yaml

HEAD = """\
# tidemill

<!-- Written by helm/tests/readme.py from Chart.yaml and values.yaml. To change it, change the comments there and run
     `cargo xtask chart --update`. -->

{description} It runs any image that was built on Tidemill; the guide is [Kubernetes](../../docs/kubernetes.md), and what
may stand in `config` is in [Configuration](../../docs/configuration.md).

```sh
helm upgrade --install thermostats helm/tidemill --namespace plant --create-namespace \\
  --set image.repository=registry.example/plant/thermostats \\
  --set config.mqtt.url=mqtt://mosquitto:1883
helm test thermostats --namespace plant --logs
```

Chart {version}, Kubernetes {kube}. Values for typical cases are in [ci](ci): a [plain Deployment](ci/deployment-values.yaml),
a [StatefulSet with volumes](ci/statefulset-values.yaml), [TLS, secrets and a network policy](ci/secured-values.yaml),
scaling by a [HorizontalPodAutoscaler](ci/hpa-values.yaml) or by [KEDA](ci/keda-values.yaml).

Combinations that cannot work are refused with a sentence that says why, such as a durable identity in a Deployment, two
autoscalers, a password in the configuration, or a grace period that would cut draining off. Unknown values are refused,
too.

## Values

| value | default | meaning |
|---|---|---|
"""


def documented(text):
    """Every documented value as (path, comment), in the order of the file."""
    found, path, comment = [], [], None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            words = stripped.lstrip("#").strip()
            if words.startswith("-- "):
                comment = words[3:]
            elif comment is not None:
                comment += " " + words
            continue
        key = re.match(r"^( *)([A-Za-z][A-Za-z0-9]*):", line)
        if not stripped or not key:
            comment = None if not stripped else comment
            continue
        depth = len(key[1]) // 2
        path = path[:depth] + [key[2]]
        if comment is not None:
            found.append((tuple(path), comment))
            comment = None
    return found


def value_at(values, path):
    for key in path:
        values = values[key]
    return values


def undocumented(values, documents, path=()):
    """Paths of values that no comment covers, neither their own nor one of a value above."""
    known = {path for path, _ in documents}
    missing = []
    for key, value in values.items():
        here = (*path, key)
        if here in known and not (here == ("config",)):
            continue
        if isinstance(value, dict) and value:
            missing += undocumented(value, documents, here)
        elif here not in known:
            missing.append(".".join(here))
    return missing


def render(chart, values_text):
    values = yaml.safe_load(values_text)
    documents = documented(values_text)
    parents = {path[:-1] for path, _ in documents}
    rows = []
    for path, comment in documents:
        default = value_at(values, path)
        # A documented mapping whose own values are documented below it shows none of them twice.
        shown = "" if path in parents else "`" + json.dumps(default, separators=(", ", ": ")) + "`"
        rows.append(f"| `{'.'.join(path)}` | {shown} | {comment.replace('|', chr(92) + '|')} |")
    head = HEAD.format(description=chart["description"], version=chart["version"], kube=chart["kubeVersion"].removesuffix("-0"))
    return head + "\n".join(rows) + "\n"
