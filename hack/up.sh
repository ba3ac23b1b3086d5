#!/bin/sh
# Brings a local cluster up and installs Bulkhead on it, built from this checkout. Called by
# `make cluster-up`, `make demo` and the end-to-end suite. Needs root.
#
# The last line of standard output is the cluster's kubeconfig; everything else is on standard error.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cluster=$root/bin/cluster
say() { echo "up: $*" >&2; }

[ "$(id -u)" = 0 ] || {
	say "a cluster is made of namespaces, mounts and cgroups: run this as root"
	exit 1
}
"$root/hack/install-debian.sh" >&2
[ -x "$cluster" ] || go -C "$root/hack/cluster" build -o "$cluster" .

"$cluster" up >&2
kubeconfig=$("$cluster" kubeconfig)
kubectl="$("$cluster" assets)/kubectl --kubeconfig $kubeconfig"

say "build the image from the Dockerfile (the first time compiles everything)"
archive=$(mktemp -d)/bulkhead.tar
trap 'rm -rf "$(dirname "$archive")"' EXIT
"$root/hack/image.sh" "$archive" "$(git -C "$root" describe --tags --always --dirty 2>/dev/null || echo dev)" >&2
"$cluster" load "$archive" >&2

say "install Bulkhead (kubectl apply --server-side -k config/default)"
$kubectl apply --server-side --force-conflicts -k "$root/config/default" >&2
# A cluster that was up already runs the image of then.
$kubectl -n bulkhead-system rollout restart deployment/bulkhead-manager daemonset/bulkhead-agent >&2
for part in deployment/bulkhead-manager daemonset/bulkhead-agent; do
	$kubectl -n bulkhead-system rollout status "$part" --timeout 120s >&2 || {
		say "$part did not become ready; its pods and their log:"
		$kubectl -n bulkhead-system get pods -o wide >&2 || true
		$kubectl -n bulkhead-system describe "$part" >&2 || true
		$kubectl -n bulkhead-system logs "$part" --all-containers --tail 40 >&2 || true
		exit 1
	}
done
echo "$kubeconfig"
