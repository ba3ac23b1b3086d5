// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/landlock-lsm/go-landlock/landlock"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/scan"
)

// asProgram is in the environment of this binary where it is to be the command itself, a process of its
// own: with another user, on a terminal, interrupted.
const asProgram = "BULKHEAD_TEST_SCAN"

// inSandbox is in its environment beside that where it is to confine itself first, by Landlock.
const inSandbox = "BULKHEAD_TEST_SANDBOX"

// noSandbox is how it ends if the kernel has no such thing.
const noSandbox = 77

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(inSandbox) != "" {
		if err := landlock.V1.RestrictPaths(landlock.RODirs("/")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(noSandbox)
		}
	}
	c := scan.Command()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(os.Args[1:])
	err := c.Execute()
	var exited *exit.Error
	switch {
	case errors.As(err, &exited):
		if exited.Err != nil {
			fmt.Fprintln(os.Stderr, exited.Err)
		}
		os.Exit(exited.Code)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(0)
}

// program is the command as a process, with these variables in its environment.
func program(environment []string, args ...string) *exec.Cmd {
	// The link leads to this binary wherever it is, for users too who may not enter its folder.
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append([]string{asProgram + "=1", "TERM=xterm"}, environment...)
	return c
}
