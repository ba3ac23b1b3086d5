// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

// terminal makes a pseudoterminal so wide: what is written to inner can be read from outer.
func terminal(t *testing.T, width uint16) (outer, inner *os.File) {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("a pseudoterminal cannot be made: %v", err)
	}
	t.Cleanup(func() { _ = outer.Close() })
	number, err := unix.IoctlGetInt(int(outer.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(outer.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	inner, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("a pseudoterminal cannot be opened: %v", err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	if err := unix.IoctlSetWinsize(int(inner.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: 40}); err != nil {
		t.Fatal(err)
	}
	return outer, inner
}

// onTerminal is what the command writes to a terminal.
func onTerminal(t *testing.T, width uint16, environment []string, args ...string) string {
	t.Helper()
	outer, inner := terminal(t, width)
	c := program(environment, args...)
	c.Stdout = inner
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = inner.Close() // so that the last one to close it is the command
	var text bytes.Buffer
	// A terminal that nobody writes to any more ends with an error of its own.
	if _, err := io.Copy(&text, outer); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	_ = c.Wait() // what it found is no matter here
	return strings.ReplaceAll(text.String(), "\r\n", "\n")
}

func TestOnATerminal(t *testing.T) {
	tree := escapedTree(t)
	tree.Add(alone(300, "0::/lxc.payload."+strings.Repeat("\x1b[31m", 20)))
	const escape = "\x1b"
	uncoloured := func(text string) string {
		for _, sequence := range []string{"\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[0m"} {
			text = strings.ReplaceAll(text, sequence, "")
		}
		return text
	}
	t.Run("levels and findings have colours, and nothing else is different", func(t *testing.T) {
		t.Parallel()
		text := onTerminal(t, 80, nil, "--proc", tree.Root)
		wantContains(t, "the table", text, "\x1b[33mHost\x1b[0m", "\x1b[32mContainer\x1b[0m", "\x1b[31mEscape\x1b[0m", "\x1b[1mCONTAINER\x1b[0m")
		want(t, "without colours", uncoloured(text), run(t, "--proc", tree.Root).out)
	})
	t.Run("there are none for NO_COLOR, a dumb terminal, and programs", func(t *testing.T) {
		t.Parallel()
		for _, variable := range []string{"NO_COLOR=1", "TERM=dumb"} {
			if text := onTerminal(t, 80, []string{variable}, "--proc", tree.Root); strings.Contains(text, escape) {
				t.Errorf("%s: %q", variable, text)
			}
		}
		for _, format := range []string{"json", "yaml"} {
			if text := onTerminal(t, 80, nil, "--proc", tree.Root, "-o", format); strings.Contains(text, escape) {
				t.Errorf("%s: %q", format, text)
			}
		}
	})
	t.Run("that is wider, names are shown longer", func(t *testing.T) {
		t.Parallel()
		name := "lxc-" + strings.Repeat("a", 40)
		tree := proctest.New(t)
		tree.Add(alone(100, "0::/lxc/"+name))
		if text := onTerminal(t, 80, []string{"NO_COLOR=1"}, "--proc", tree.Root); strings.Contains(text, name) {
			t.Errorf("%q", text)
		}
		wantContains(t, "the table", onTerminal(t, 160, []string{"NO_COLOR=1"}, "--proc", tree.Root), "\n"+name+" ")
	})
}
