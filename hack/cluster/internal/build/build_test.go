// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
)

func testBuilder(t *testing.T) *Builder {
	return &Builder{
		Sources:  fstest.MapFS{"go.mod": {Data: []byte("module example.com/test\n")}},
		Cache:    filepath.Join(t.TempDir(), "cache"),
		Progress: io.Discard,
	}
}

// testPart is a part of which "building" is the given function.
func testPart(build func(out string) error) Part {
	return Part{
		Name:  "test",
		Title: "a test",
		steps: []step{func(_ context.Context, t *task) error { return build(t.out) }},
		check: func() error { return nil },
	}
}

func TestEnsureBuildsOnce(t *testing.T) {
	builder := testBuilder(t)
	var builds atomic.Int32
	part := testPart(func(out string) error {
		builds.Add(1)
		return os.WriteFile(filepath.Join(out, "program"), nil, 0o755)
	})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			bin, err := builder.Ensure(t.Context(), part)
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(bin, "program")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if builds.Load() != 1 {
		t.Errorf("three launchers at the same time built %d times", builds.Load())
	}
}

func TestEnsureKeepsNothingOfAFailedBuild(t *testing.T) {
	builder := testBuilder(t)
	broken := errors.New("the compiler gave up")
	_, err := builder.Ensure(t.Context(), testPart(func(out string) error {
		return errors.Join(os.WriteFile(filepath.Join(out, "program"), nil, 0o755), broken)
	}))
	if !errors.Is(err, broken) {
		t.Errorf("got error %v, want the compiler's", err)
	}
	if cached, err := builder.Cached(t.Context(), testPart(nil)); err != nil || cached {
		t.Errorf("a failed build is taken for a whole one (%v)", err)
	}
}

func TestEnsureRemovesWhatAKilledLauncherLeft(t *testing.T) {
	builder := testBuilder(t)
	key, err := builder.key(t.Context(), testPart(nil))
	if err != nil {
		t.Fatal(err)
	}
	abandoned := filepath.Join(builder.Cache, ".building-"+key+"-123")
	if err := os.MkdirAll(abandoned, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := builder.Ensure(t.Context(), testPart(func(string) error { return nil })); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(builder.Cache, ".building-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("there still is %q (%v)", left, err)
	}
}

func TestKeyChangesWithTheSources(t *testing.T) {
	builder := testBuilder(t)
	before, err := builder.key(t.Context(), Kube())
	if err != nil {
		t.Fatal(err)
	}
	builder.Sources = fstest.MapFS{"go.mod": {Data: []byte("module example.com/other\n")}}
	after, err := builder.key(t.Context(), Kube())
	if err != nil {
		t.Fatal(err)
	}
	if before == after {
		t.Errorf("%s stands for two different sources", before)
	}
}

func TestFollowSeparatesPackagesFromMessages(t *testing.T) {
	var progress strings.Builder
	output := "example.com/a\nexample.com/b\n# example.com/b\n./b.go:1:2: undefined: x\n"
	messages := (&task{progress: &progress}).follow(strings.NewReader(output), 2)
	if want := "# example.com/b\n./b.go:1:2: undefined: x\n"; messages != want {
		t.Errorf("got messages %q, want %q", messages, want)
	}
}
