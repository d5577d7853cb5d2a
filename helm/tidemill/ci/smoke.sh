#!/usr/bin/env bash
# Installs the chart into a real cluster, rolls it, scales it out and in, rolls it back and removes it again, all in a
# namespace of its own.
#
#   KUBECONFIG=... IMAGE=registry/worker TAG=1.0 helm/tidemill/ci/smoke.sh
#
# Needs helm, kubectl and an image that the cluster can pull: a worker, with the `tidemill` program beside it. The broker
# is a Mosquitto in the same namespace.
set -euo pipefail

: "${KUBECONFIG:?set KUBECONFIG to the cluster to use}"
: "${IMAGE:?set IMAGE to the image of a worker}"
TAG="${TAG:-latest}"
chart="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
broker="$chart/../../examples/10-kubernetes/mosquitto.yaml"
namespace="tidemill-smoke-$RANDOM"
release=smoke

cleanup() {
  status=$?
  if [ "$status" -ne 0 ]; then
    kubectl -n "$namespace" get pods,events || true
    kubectl -n "$namespace" logs -l app.kubernetes.io/name=tidemill --tail=50 --prefix || true
  fi
  kubectl delete namespace "$namespace" --wait=false --ignore-not-found
  exit "$status"
}
trap cleanup EXIT

install() {
  helm upgrade --install "$release" "$chart" --namespace "$namespace" --wait --timeout 3m \
    --set image.repository="$IMAGE" --set image.tag="$TAG" --set config.mqtt.url=mqtt://mosquitto:1883 "$@"
}

ready() {
  kubectl -n "$namespace" get pods -l app.kubernetes.io/component=worker \
    -o jsonpath='{range .items[?(@.status.containerStatuses[0].ready==true)]}{.metadata.name}{"\n"}{end}' | wc -l
}

kubectl create namespace "$namespace"
# The broker and the worker comply with the strictest of the pod security standards.
kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted
kubectl -n "$namespace" apply -f "$broker"
kubectl -n "$namespace" rollout status deployment/mosquitto --timeout=2m

echo "== install"
install --set replicas=2
[ "$(ready)" -eq 2 ]

echo "== doctor"
helm test "$release" --namespace "$namespace" --logs

echo "== a changed configuration rolls the pods and never empties the group"
( for _ in $(seq 120); do ready; sleep 1; done ) >"${TMPDIR:-/tmp}/$namespace.ready" & watcher=$!
install --set replicas=2 --set config.log.filter=debug
kill "$watcher" 2>/dev/null || true
lowest="$(sort -n "${TMPDIR:-/tmp}/$namespace.ready" | head -n 1)"
rm -f "${TMPDIR:-/tmp}/$namespace.ready"
echo "fewest ready replicas: $lowest"
[ "$lowest" -ge 2 ]

echo "== scale out and in"
install --set replicas=3 --set config.log.filter=debug
[ "$(ready)" -eq 3 ]
install --set replicas=2 --set config.log.filter=debug
for _ in $(seq 60); do [ "$(ready)" -eq 2 ] && break; sleep 1; done
[ "$(ready)" -eq 2 ]

echo "== rollback"
helm rollback "$release" 1 --namespace "$namespace" --wait --timeout 3m
[ "$(ready)" -eq 2 ]

echo "== durable identity"
helm uninstall "$release" --namespace "$namespace" --wait
install --set workload=StatefulSet --set replicas=2
[ "$(ready)" -eq 2 ]

echo "smoke test passed"
