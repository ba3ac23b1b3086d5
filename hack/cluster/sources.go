// SPDX-License-Identifier: Apache-2.0

package main

import "embed"

// sources are what the cluster's programs are built from. The launcher carries them,
// so that a built launcher works from any folder.
//
//go:embed go.mod go.sum kube/main.go
var sources embed.FS
