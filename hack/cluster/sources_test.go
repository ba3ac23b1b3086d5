// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestOwnVersionIsTheOneThatGoModRequires(t *testing.T) {
	own, err := ownVersion()
	if err != nil || !regexp.MustCompile(`^1\.\d+$`).MatchString(own) {
		t.Errorf("got version %q, %v", own, err)
	}
	older, err := olderVersions()
	if err != nil || len(older) == 0 || slices.Contains(older, own) {
		t.Errorf("got older versions %q, %v; clusters have %s", older, err, own)
	}
}

// Every module of Kubernetes must be of the release that the file is named after: one that is
// forgotten would be built into an API server that exists nowhere else.
func TestAnOlderAPIServerIsOfOneRelease(t *testing.T) {
	older, err := olderVersions()
	if err != nil {
		t.Fatal(err)
	}
	for _, minor := range older {
		file := olderFolder + "/" + minor + ".mod"
		data, err := olderSources.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes v1\.(\d+\.\d+)$`).FindSubmatch(data)
		if found == nil || "1."+strings.Split(string(found[1]), ".")[0] != minor {
			t.Errorf("%s does not require k8s.io/kubernetes v%s.x", file, minor)
			continue
		}
		for _, line := range strings.Split(string(data), "\n") {
			if strings.Contains(line, " => ") && !strings.HasSuffix(line, " v0."+string(found[1])) {
				t.Errorf("%s: %q is not of release 1.%s", file, strings.TrimSpace(line), found[1])
			}
		}
	}
}

func TestAssetsOfAVersionThatNobodyCanBuild(t *testing.T) {
	_, err := assetsOf(t.Context(), "1.5")
	if err == nil || !strings.Contains(err.Error(), `"1.5"`) || !strings.Contains(err.Error(), "1.34") {
		t.Errorf("got %v, want an error that quotes the version and says which there are", err)
	}
}
