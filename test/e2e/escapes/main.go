// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command escapes does to containers what the suite wants to see found: it leaves namespaces in the ways
// in which that is possible, it is a container runtime that lies, and it does what looks like an escape and is
// none. It is for the local cluster of the tests, where everything that it
// touches is gone with the cluster.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// runtimeName is what the program is called where it is to be the runtime.
const runtimeName = "lying-runc"

func main() {
	if filepath.Base(os.Args[0]) == runtimeName {
		fail(lie(os.Args[1:]))
	}
	if len(os.Args) < 2 {
		fail(fmt.Errorf("what is to be done? One of %s", strings.Join(names(), ", ")))
	}
	do, known := deeds[os.Args[1]]
	if !known {
		fail(fmt.Errorf("%q is none of %s", os.Args[1], strings.Join(names(), ", ")))
	}
	fail(do(os.Args[2:]))
}

// fail ends the program if something went wrong.
func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "escapes:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
