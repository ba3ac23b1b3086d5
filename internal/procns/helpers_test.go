// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The trees of plain files under testdata, each a node as procfs shows it, and what is special in
// it.
const (
	bareV2   = "bare-v2-systemd"  // kthreadd is there; a pod with a user namespace and a thread that escaped
	bareV1   = "bare-v1-cgroupfs" // kernel 4.18: no time namespaces, no numbers reserved for net and mnt
	hybrid   = "bare-hybrid-systemd"
	nested   = "nested-v2-cgroupfs" // as kind makes nodes: no kernel threads
	hostile  = "hostile"            // names, paths and files made to mislead; zombies
	notAProc = "not-proc"
)

// openTree opens a tree for the time of the test.
func openTree(t testing.TB, root string) *FS {
	t.Helper()
	tree, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

// openFixture opens a tree under testdata.
func openFixture(t testing.TB, name string) *FS {
	t.Helper()
	return openTree(t, filepath.Join("testdata", name))
}

// openProcess opens a process for the time of the test.
func openProcess(t testing.TB, tree *FS, pid int) Process {
	t.Helper()
	p, err := tree.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// equal compares deeply.
func equal(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

// must passes a result on and fails the test on an error.
func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// fails checks that an error says all of the parts.
func fails(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// is checks that an error matches one sentinel of this package and none of the others.
func is(t testing.TB, err, sentinel error) {
	t.Helper()
	for _, s := range []error{ErrGone, ErrExited, ErrUnsupported, ErrNotOpen, ErrTooLong} {
		if got, want := errors.Is(err, s), errors.Is(sentinel, s); got != want {
			t.Errorf("error %v: matches %q: %v, want %v", err, s, got, want)
		}
	}
}
