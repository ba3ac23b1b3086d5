#!/bin/sh
# Writes the roles in config/ from the markers (+kubebuilder:rbac) beside the code that needs the rights: one part, one
# role.yaml. `make generate` calls it; `make verify` has it write into another folder, to compare.
set -eu
cd "$(dirname "$0")/.."
config=${1:-config}
generate() { # the part's folder, the role's name, where its code is
	folder=$1 name=$2
	shift 2
	go tool -modfile=hack/tools/go.mod controller-gen "rbac:roleName=$name,headerFile=hack/boilerplate.yaml.txt" "$@" "output:rbac:dir=$config/$folder"
}
fail() { echo "roles: $*" >&2; exit 1; }
# What controller-gen would pass over without a word.
marked=$(git grep -l --untracked '^// +kubebuilder:rbac' -- '*.go')
lost=$(echo "$marked" | grep -vE '^(controllers|internal/(cmd|admission|agent))/[^/]*$') &&
	fail "of the markers in these files no role is made (name their folder here): $lost"
# shellcheck disable=SC2086 # a list of files
joined=$(awk '/^\/\// { if (/\+kubebuilder:rbac/) marker = 1; next }
	marker && $0 != "" { print FILENAME ": " $0 } { marker = 0 }' $marked)
[ -z "$joined" ] || fail "markers need an empty line after them: $joined"

# Files of one package can be parts of their own; controller-gen takes such for files without ./ in front alone.
reports='controllers/reports.go controllers/viewers.go'
eviction=controllers/eviction_act.go
others=$(ls controllers/*.go | grep -v '_test\.go$')
for file in $reports $eviction; do
	others=$(echo "$others" | grep -vx "$file")
done
paths() { printf 'paths=%s\n' "$@"; }

# shellcheck disable=SC2046,SC2086 # lists of files
{
	generate rbac/manager bulkhead-manager paths=./internal/cmd $(paths $others)
	generate rbac/admission bulkhead-manager-admission paths=./internal/admission
	generate rbac/reports bulkhead-manager-reports $(paths $reports)
	generate components/eviction bulkhead-eviction $(paths $eviction)
	generate rbac/agent bulkhead-agent paths=./internal/agent
}
