#!/bin/sh
# Runs every fuzz target of the product for a while: hack/fuzz.sh [TIME]
set -eu
time=${1:-30s}
grep -rl --include='*_test.go' '^func Fuzz' api controllers internal | xargs -n1 dirname | sort -u |
while read -r package; do
	for target in $(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' "$package" | cut -c6- | sort -u); do
		echo "== $package $target"
		go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x </dev/null
	done
done
