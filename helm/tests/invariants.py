"""What holds between the objects of one release, whatever the values: things that no schema can say."""

import re
import tomllib

UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600}


def seconds(text):
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)\s*([a-z]+)", text))


def loose_paths(paths, mounted):
    """Those that lie on no mount."""
    return [path for path in paths if isinstance(path, str) and not any(path.startswith(m + "/") for m in mounted)]


def workload_of(objects):
    return next(one for one in objects if one["kind"] in ("Deployment", "StatefulSet"))


def pod_of(objects):
    return workload_of(objects)["spec"]["template"]


def check(objects):
    """Yields each rule with what breaks it."""
    by_kind = {}
    for one in objects:
        by_kind.setdefault(one["kind"], []).append(one)
    workload, pod = workload_of(objects), pod_of(objects)
    spec = pod["spec"]
    worker = next(one for one in spec["containers"] if one["name"] == "worker")
    config = tomllib.loads(by_kind["ConfigMap"][0]["data"]["tidemill.toml"])

    yield "everything is in the namespace of the release", [
        one["metadata"]["name"] for one in objects if one["metadata"].get("namespace") != "workers"
    ]
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    yield "no two objects of a kind have one name", sorted({name for name in names if names.count(name) > 1})

    labels = pod["metadata"]["labels"]
    selectors = [workload["spec"]["selector"]["matchLabels"]]
    selectors += [one["spec"]["selector"] for one in by_kind.get("Service", [])]
    for kind, key in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"), ("PodMonitor", "selector")]:
        selectors += [one["spec"][key]["matchLabels"] for one in by_kind.get(kind, [])]
    yield "every selector selects the pods", [one for one in selectors if not one.items() <= labels.items()]
    yield "no selector selects the pod of the test", [
        one for one in selectors for test in by_kind.get("Pod", []) if one.items() <= test["metadata"]["labels"].items()
    ]
    services = by_kind.get("Service", [])
    yield "a ServiceMonitor selects the Service", [
        one["metadata"]["name"] for one in by_kind.get("ServiceMonitor", [])
        if not any(one["spec"]["selector"]["matchLabels"].items() <= to["metadata"]["labels"].items() for to in services)
    ]  # fmt: skip

    ports = {one["name"] for one in worker["ports"]}
    used = {one["targetPort"] for service in services for one in service["spec"]["ports"]}
    used |= {worker[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    used |= {rule["port"] for one in by_kind.get("NetworkPolicy", []) for way in one["spec"]["ingress"] for rule in way["ports"]}
    yield "every named port is one of the worker's", used - ports
    listen = config["admin"]["listen"].rsplit(":", 1)[1]
    yield "the admin server listens on the container's port", [
        listen for one in worker["ports"] if one["name"] == "admin" and str(one["containerPort"]) != listen
    ]

    pods = [spec] + [one["spec"] for one in by_kind.get("Pod", [])]
    claims = [one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])]
    loose = []
    for one in pods:
        volumes = {volume["name"] for volume in one.get("volumes", [])} | set(claims if one is spec else [])
        mounts = {m["name"] for container in one["containers"] for m in container.get("volumeMounts", [])}
        loose += sorted(volumes ^ mounts)
    yield "every volume is mounted and every mount has a volume", loose
    mounted = [m["mountPath"] for m in worker["volumeMounts"]]
    files = [config["mqtt"].get("password_file"), *config["mqtt"].get("tls", {}).values()]
    files += [config.get("platform", {}).get("token_file"), config["admin"].get("token_file")]
    files += [config["identity"].get("state_dir")]
    yield "every file that the configuration names is mounted", loose_paths(files, mounted)
    for doctor in (container for one in by_kind.get("Pod", []) for container in one["spec"]["containers"]):
        named = [word.split("=", 1)[1] for word in doctor["args"] if "-file=" in word]
        yield "every file that the test names is mounted", loose_paths(named, [m["mountPath"] for m in doctor.get("volumeMounts", [])])
        broker = [config["mqtt"].get("password_file"), *config["mqtt"].get("tls", {}).values()]
        yield "the test logs in as the worker does", [one for one in broker if one and one not in named]

    yield "nobody runs as root, writes to the image, or keeps a capability", [
        container["name"] for one in pods for container in one["containers"]
        if not one["securityContext"]["runAsNonRoot"]
        or one["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault"
        or not container["securityContext"]["readOnlyRootFilesystem"]
        or container["securityContext"]["capabilities"]["drop"] != ["ALL"]
    ]  # fmt: skip
    yield "no token of the API server is mounted", [one for one in pods if one["automountServiceAccountToken"] is not False]
    yield "no Service becomes a variable", [one for one in pods if one["enableServiceLinks"] is not False]
    yield "no Secret is made", [one["metadata"]["name"] for one in by_kind.get("Secret", [])]

    drain = seconds(config["drain"]["deadline"])
    grace = spec["terminationGracePeriodSeconds"]
    yield "the grace period outlasts draining", [] if grace > drain else [f"{grace} s for {drain} s"]
    durable = workload["kind"] == "StatefulSet"
    platform = config["identity"]["mode"] == "platform"
    fits = platform or config["identity"]["mode"] == ("durable" if durable else "ephemeral")
    yield "identity fits the workload", [] if fits else [config]
    named = any(one["name"] == "TIDEMILL_IDENTITY__REPLICA" and one["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
                for one in worker["env"])  # fmt: skip
    yield "a durable replica takes its name from its pod", [] if named == durable else [worker["env"]]
    yield "sessions outlast the pod where identity is durable", (
        [] if not durable or platform or seconds(config["mqtt"]["session_expiry"]) > grace else [config["mqtt"]]
    )
    if durable:
        yield "the StatefulSet has its headless Service", [
            1 for _ in [0] if not any(s["metadata"]["name"] == workload["spec"]["serviceName"] and s["spec"]["clusterIP"] == "None" for s in services)
        ]  # fmt: skip
    else:
        rolling = workload["spec"]["strategy"]["rollingUpdate"]
        yield "a rolling update takes nobody away before a successor is ready", (
            [] if rolling["maxUnavailable"] == 0 and rolling["maxSurge"] else [rolling]
        )
    yield "members share the events unless told otherwise", (
        [] if bool(config.get("group", {}).get("name")) != bool(config.get("broadcast") or platform) else [config.get("group")]
    )
    scalers = by_kind.get("HorizontalPodAutoscaler", []) + by_kind.get("ScaledObject", [])
    target = {"apiVersion": "apps/v1", "kind": workload["kind"], "name": workload["metadata"]["name"]}
    yield "an autoscaler scales the workload", [one for one in scalers if one["spec"]["scaleTargetRef"] != target]
    yield "either an autoscaler or the values decide how many there are", (
        [] if bool(scalers) != ("replicas" in workload["spec"]) else [workload["spec"].get("replicas")]
    )
