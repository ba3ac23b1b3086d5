// SPDX-License-Identifier: Apache-2.0

// Package build compiles the programs of a cluster from Go modules and keeps them
// in a cache, so that only the first cluster has to wait for a compiler.
package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Builder builds parts that are not in the cache yet.
type Builder struct {
	// Sources holds this module's go.mod and go.sum and the packages that parts are
	// made of. Being embedded in the launcher, they are always those it was made with.
	Sources fs.FS

	// Cache is a folder of the user's.
	Cache string

	// Progress is told what happens while something is built, and nothing otherwise.
	Progress io.Writer
}

// CacheFolder is where built programs are kept.
func CacheFolder() (string, error) {
	if folder := os.Getenv("BULKHEAD_CACHE"); folder != "" {
		return filepath.Join(folder, "cluster"), nil
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for what is built: %w; set BULKHEAD_CACHE", err)
	}
	return filepath.Join(folder, "bulkhead", "cluster"), nil
}

// Ensure returns the folder with the part's programs, and builds them if they are
// not there yet.
func (b *Builder) Ensure(ctx context.Context, part Part) (string, error) {
	key, err := b.key(ctx, part)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(b.Cache, key)
	bin := filepath.Join(folder, "bin")
	if exists(bin) {
		return bin, nil
	}
	if err := part.check(); err != nil {
		return "", err
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return "", fmt.Errorf("make the build cache: %w", err)
	}
	unlock, err := b.lock(ctx, folder+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(bin) {
		return bin, nil // another launcher has built it while we waited
	}
	return bin, b.build(ctx, part, folder)
}

// Cached tells whether Ensure would have nothing to do.
func (b *Builder) Cached(ctx context.Context, part Part) (bool, error) {
	key, err := b.key(ctx, part)
	return exists(filepath.Join(b.Cache, key, "bin")), err
}

// build builds into a folder beside the one that is wanted and renames it at the
// end, so that a part is there whole or not at all.
func (b *Builder) build(ctx context.Context, part Part, folder string) error {
	begin := time.Now()
	// We hold the lock: what is half built is of a launcher that was killed.
	prefix := filepath.Join(b.Cache, ".building-"+filepath.Base(folder)+"-")
	abandoned, err := filepath.Glob(prefix + "*")
	if err != nil {
		return fmt.Errorf("look for abandoned builds: %w", err)
	}
	for _, folder := range abandoned {
		os.RemoveAll(folder) //nolint:errcheck // what stays is only a waste of space
	}
	work, err := os.MkdirTemp(b.Cache, filepath.Base(prefix)+"*")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // what stays is only a waste of space
	if err := os.CopyFS(filepath.Join(work, "src"), b.Sources); err != nil {
		return fmt.Errorf("write the sources of what is built: %w", err)
	}
	out := filepath.Join(work, "out", "bin")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make a folder to build into: %w", err)
	}
	fmt.Fprintf(b.Progress, "Building %s. This happens once; the result is kept in %s.\n", part.Title, folder)
	t := task{dir: filepath.Join(work, "src"), out: out, progress: b.Progress, steps: len(part.steps)}
	for i, step := range part.steps {
		t.step = i + 1
		if err := step(ctx, &t); err != nil {
			return fmt.Errorf("build %s: %w", part.Title, err)
		}
	}
	if err := os.Rename(filepath.Join(work, "out"), folder); err != nil {
		return fmt.Errorf("keep what was built: %w", err)
	}
	fmt.Fprintf(b.Progress, "Built %s in %s.\n", part.Title, time.Since(begin).Round(time.Second))
	return nil
}

// key names everything that what is built depends on.
func (b *Builder) key(ctx context.Context, part Part) (string, error) {
	version, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("ask Go for its version: %w; is go on PATH?", err)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s recipe %d\n%s", part.Name, part.recipe, version)
	err = fs.WalkDir(b.Sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(b.Sources, path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(data), data)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the sources of what is built: %w", err)
	}
	return fmt.Sprintf("%s-%x", part.Name, hash.Sum(nil)[:8]), nil
}

// lock waits for another launcher that builds the same.
func (b *Builder) lock(ctx context.Context, path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the build cache: %w", err)
	}
	told := false
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil //nolint:errcheck // closing is what unlocks
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			fmt.Fprintln(b.Progress, "Another launcher is building the same: waiting for it.")
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missing returns those programs that are not on PATH.
func missing(programs ...string) []string {
	return slices.DeleteFunc(programs, func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	})
}

// needs says what to install.
func needs(what []string) error {
	return fmt.Errorf("these are missing: %s; hack/install-debian.sh installs them on Debian and Ubuntu", strings.Join(what, ", "))
}
