// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// sources are what the cluster's programs are built from. The launcher carries them,
// so that a built launcher works from any folder.
//
//go:embed go.mod go.sum kube/main.go
var sources embed.FS

// olderSources are what API servers of older versions are built from.
//
//go:embed kube-apiserver/main.go kube-apiserver/*.mod kube-apiserver/*.sum
var olderSources embed.FS

const olderFolder = "kube-apiserver"

// olderVersions are the minor versions of Kubernetes, such as 1.34, of which an API
// server can be built beside the cluster's own.
func olderVersions() ([]string, error) {
	files, err := fs.Glob(olderSources, path.Join(olderFolder, "*.mod"))
	for i := range files {
		files[i] = strings.TrimSuffix(path.Base(files[i]), ".mod")
	}
	slices.Sort(files)
	return files, err
}

var requirement = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes v(\d+\.\d+)\.`)

// ownVersion is the minor version of Kubernetes that clusters have.
func ownVersion() (string, error) {
	data, err := sources.ReadFile("go.mod")
	if err != nil {
		return "", fmt.Errorf("read which Kubernetes this is: %w", err)
	}
	found := requirement.FindSubmatch(data)
	if found == nil {
		return "", fmt.Errorf("read which Kubernetes this is: go.mod requires no k8s.io/kubernetes")
	}
	return string(found[1]), nil
}
