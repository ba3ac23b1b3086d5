// SPDX-License-Identifier: Apache-2.0

// Bulkhead keeps every container watertight: see README.md.
package main

import (
	"os"

	"github.com/bulkhead-dev/bulkhead/internal/cmd"
)

func main() {
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
