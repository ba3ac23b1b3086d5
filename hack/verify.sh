#!/bin/sh
# What `make verify` checks; each line says what is wrong and how to put it right.
set -eu
cd "$(dirname "$0")/.."
tool="go tool -modfile=hack/tools/go.mod"
failed=0
fail() { echo "verify: $*" >&2; failed=1; }

echo "verify: formatting"
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || fail "not formatted (gofmt -w FILE): $unformatted"

echo "verify: modules"
for module in . hack/cluster hack/tools test/prometheus; do
	(cd "$module" && go mod tidy -diff >/dev/null) || fail "$module/go.mod is not tidy (go mod tidy)"
done

echo "verify: generated code"
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
mkdir "$generated/api" "$generated/crd"
$tool controller-gen object:headerFile=hack/boilerplate.go.txt crd paths=./api/... \
	output:object:dir="$generated/api" output:crd:dir="$generated/crd"
cmp -s "$generated/api/zz_generated.deepcopy.go" api/v1alpha1/zz_generated.deepcopy.go ||
	fail "api/v1alpha1/zz_generated.deepcopy.go is stale (make generate)"
for crd in "$generated"/crd/*.yaml; do
	cmp -s "$crd" "config/crd/$(basename "$crd")" || fail "config/crd/$(basename "$crd") is stale (make generate)"
done

hack/roles.sh "$generated/config"
for role in $(git ls-files 'config/*/role.yaml'; cd "$generated" && find config -name role.yaml); do
	cmp -s "$generated/$role" "$role" || fail "$role is not what the markers +kubebuilder:rbac say (make generate)"
done

echo "verify: vet"
go vet ./... && go vet -tags e2e ./test/e2e/... && go vet -tags browser ./internal/cmd/report && go -C hack/cluster vet . ./internal/... && go -C test/prometheus vet ./... || fail "go vet"

echo "verify: what nobody calls is left out of the program"
# Code that looks for a method by its name (text/template, html/template) makes the linker keep every exported
# method of every type: a program of 110 MB instead of 70 MB, which every node pulls and maps.
by_name=$(CGO_ENABLED=0 go build -ldflags=-dumpdep -o "$generated/bulkhead" . 2>&1 | sed -n 's/ <ReflectMethod> -> .*//p' | sort -u)
[ -s "$generated/bulkhead" ] || fail "the program does not build (go build .)"
[ -z "$by_name" ] || fail "methods are looked for by name in $by_name: do without (go build -ldflags=-dumpdep says who calls it)"

echo "verify: lint and import walls"
$tool golangci-lint run --allow-parallel-runners ./... || fail "golangci-lint"

echo "verify: shell scripts"
for script in hack/*.sh .ci/run; do
	case $(head -1 "$script") in
	*bash*) bash -n "$script" ;;
	*) sh -n "$script" ;;
	esac || fail "$script does not parse"
done

[ "$failed" = 0 ] && echo "verify: all well" || exit 1
