#!/usr/bin/env bash
# Walks through the loop on a real cluster: a line of explanation before each step, the real
# output after it. `once` takes the cluster down at the end; every step that does not show what it
# should is told, and the exit code is then 1.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cluster=$root/bin/cluster
once=${1:-}
failed=0
node=

bold() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
step=0
explain() { step=$((step + 1)); bold "$step. $*"; }
run() { printf '$ %s\n' "$*"; "$@" 2>&1; }
wrong() { echo "!! this step did not show what it should: $*"; failed=1; }

# shows PATTERN COMMAND...: runs the command, prints what it says, and expects the pattern in it.
shows() {
	local pattern=$1 out; shift
	out=$(run "$@")
	printf '%s\n' "$out"
	grep -qE -- "$pattern" <<<"$out" || wrong "expected /$pattern/"
}
# until_shows SECONDS PATTERN COMMAND...: the same, trying again until the time is over.
until_shows() {
	local seconds=$1 pattern=$2 out; shift 2
	local end=$((SECONDS + seconds))
	while out=$("$@" 2>&1); ! grep -qE -- "$pattern" <<<"$out"; do
		if [ $SECONDS -ge $end ]; then
			printf '$ %s\n%s\n' "$*" "$out"; wrong "expected /$pattern/ within $seconds s"; return
		fi
		sleep 1
	done
	printf '$ %s\n%s\n' "$*" "$out"
}

finish() {
	local code=$?
	trap - EXIT INT TERM
	if [ "$once" = once ]; then
		bold "Taking the cluster down."
		"$cluster" down || failed=1
	fi
	[ $code = 0 ] && exit $failed
	exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bold "A real Kubernetes with two nodes, and Bulkhead on it."
KUBECONFIG=$("$root/hack/up.sh") || exit 1
export KUBECONFIG
PATH=$("$cluster" assets):$PATH
kubectl get nodes -o wide

explain "A policy: pods in namespaces labelled tenancy=shared must be isolated on every axis that a pod can give up."
sed '/^#/d' "$root/config/samples/restricted.yaml"
shows 'isolationpolicy.bulkhead.dev/tenants' kubectl apply -f "$root/config/samples/restricted.yaml"
kubectl apply -f - <<'Y'
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tenancy: shared}}
---
apiVersion: v1
kind: Namespace
metadata: {name: lab, labels: {tenancy: trial}}
---
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: trial}
spec:
  match: {namespaceSelector: {matchLabels: {tenancy: trial}}}
  isolation: {pid: Pod, network: Pod, ipc: Pod, uts: Pod, mount: Container}
  admission: {action: Warn}
Y
shows 'condition met' kubectl wait --for=condition=Enforced isolationpolicy/tenants isolationpolicy/trial --timeout=60s

manifest=$(mktemp --suffix=.yaml)
cat >"$manifest" <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: peeper}
spec:
  hostPID: true
  containers:
  - {name: shell, image: busybox:bulkhead, imagePullPolicy: Never, command: [sleep, 1d], securityContext: {privileged: true}}
Y
explain "A pod that asks for the node's processes, and for every privilege, is refused, with the whole reason."
cat "$manifest"
shows 'hostPID.*Container is required' kubectl -n shop apply -f "$manifest"

explain "Where a policy only warns, the same pod is flagged and runs."
shows '[Ww]arning:.*hostPID' kubectl -n lab apply -f "$manifest"
shows 'condition met' kubectl -n lab wait --for=condition=Ready pod/peeper --timeout=60s

explain "A clean pod runs, and the agent of its node proves from the kernel what it has, on all eight axes."
kubectl -n shop apply -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: clean}
spec:
  hostUsers: false
  containers:
  - {name: shell, image: busybox:bulkhead, imagePullPolicy: Never, command: [sleep, 1d]}
Y
shows 'condition met' kubectl -n shop wait --for=condition=Ready pod/clean --timeout=60s
node=$(kubectl -n shop get pod clean -o 'jsonpath={.spec.nodeName}')
levels='{range .status.groups[*]}{range .pods[*]}{.namespace}/{.name}{"\t"}{end}{.levels}{"\n"}{end}'
until_shows 40 'shop/clean.*"cgroup":"(Host|Container)".*"pid":"Container"' kubectl get nodeisolationreport "$node" -o "jsonpath=$levels"

explain "A static pod: the kubelet reads it from a file on the node, and no admission can stop it. The agent finds it."
static=$(sed 's/name: peeper/name: static, namespace: shop/' "$manifest")
printf '%s\n' "$static" | run "$cluster" exec "$node" -- sh -c 'cat >/etc/kubernetes/manifests/static.yaml'
until_shows 60 "static-$node Breach" kubectl get isolationpolicy tenants \
	-o 'jsonpath={range .status.findings[*]}{.pod} {.kind} {.message}{"\n"}{end}'

explain "A shell in the privileged hostPID pod enters the node's mount, network, ipc and uts namespaces."
node=$(kubectl -n lab get pod peeper -o 'jsonpath={.spec.nodeName}')
echo '$ kubectl -n lab exec peeper -- nsenter -t 1 -m -n -i -u sleep 600'
kubectl -n lab exec peeper -- nsenter -t 1 -m -n -i -u sleep 600 >/dev/null 2>&1 &
findings='{range .status.findings[*]}{.kind} {.axis} {.pod.namespace}/{.pod.name}: {.message}{"\n"}{end}'
escapes() {
	kubectl get nodeisolationreport "$node" -o "jsonpath=$findings" | grep '^Escape .* lab/peeper'
	echo "axes: $(kubectl get nodeisolationreport "$node" -o "jsonpath=$findings" |
		sed -n 's|^Escape \([a-z]*\) lab/peeper.*|\1|p' | sort | xargs)"
}
until_shows 30 'axes: ipc mount network uts' escapes

explain "What stands now: the policies, the nodes, and the events on the pods concerned."
shows tenants kubectl get isolationpolicies
shows "$node" kubectl get nodeisolationreports
for namespace in shop lab; do run kubectl -n $namespace events --types=Warning; done
run kubectl describe isolationpolicy tenants | sed -n '/^Status/,$p' | head -60

rm -f "$manifest"
if [ "$once" != once ]; then
	bold "How to go on"
	cat <<G
The cluster stays up. Look around:
  export KUBECONFIG=$KUBECONFIG PATH=$(dirname "$(command -v kubectl)"):\$PATH
  kubectl describe isolationpolicy tenants
  kubectl get nodeisolationreport $node -o yaml
  kubectl -n lab delete pod peeper --now      # and see its findings go
Take it down:
  make cluster-down
G
fi
[ $failed = 0 ] && bold "Every step showed what it should." || bold "Some steps did not show what they should: see the lines with !!"
