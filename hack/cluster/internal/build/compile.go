// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// task is the build of one part.
type task struct {
	dir, out    string
	progress    io.Writer
	step, steps int
}

// compilation is one run of the compiler.
type compilation struct {
	title   string
	cgo     bool
	flags   []string
	targets []string
}

func (t *task) say(format string, args ...any) {
	fmt.Fprintf(t.progress, "%d/%d %s\n", t.step, t.steps, fmt.Sprintf(format, args...))
}

// command is a go command in the module that is built.
func (t *task) command(ctx context.Context, cgo bool, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "CGO_ENABLED=0")
	if cgo {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	}
	// Let go remove its own temporary files when the launcher is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// module asks for a property of a module, which is downloaded if need be.
func (t *task) module(ctx context.Context, path, format string) (string, error) {
	download := t.command(ctx, false, "mod", "download", path)
	if output, err := download.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download module %s: %w\n%s", path, err, output)
	}
	output, err := t.command(ctx, false, "list", "-m", "-f", format, path).Output()
	if err != nil {
		return "", fmt.Errorf("look up module %s: %w%s", path, err, stderrOf(err))
	}
	return strings.TrimSpace(string(output)), nil
}

// compile compiles and links, and tells how many packages are done.
func (t *task) compile(ctx context.Context, c compilation) error {
	t.say("downloading the sources of %s, unless they are there", c.title)
	flags := append([]string{"-trimpath", "-buildvcs=false"}, c.flags...)
	list := slices.Concat([]string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, flags, c.targets)
	stale, err := t.command(ctx, c.cgo, list...).Output()
	if err != nil {
		return fmt.Errorf("list the packages of %s: %w%s", c.title, err, stderrOf(err))
	}
	total := strings.Count(string(stale), "\n")
	t.say("compiling %s: %d packages", c.title, total)

	args := slices.Concat([]string{"build", "-v", "-o", t.out + "/"}, flags, c.targets)
	build := t.command(ctx, c.cgo, args...)
	output, err := build.StderrPipe()
	if err != nil {
		return fmt.Errorf("compile %s: %w", c.title, err)
	}
	if err := build.Start(); err != nil {
		return fmt.Errorf("compile %s: %w", c.title, err)
	}
	messages := t.follow(output, total)
	if err := build.Wait(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", c.title, err, messages)
	}
	return nil
}

// follow counts the packages that `go build -v` names, and returns all else that it
// says.
func (t *task) follow(output io.Reader, total int) string {
	terminal := false
	if file, ok := t.progress.(*os.File); ok {
		terminal = term.IsTerminal(int(file.Fd()))
	}
	var messages strings.Builder
	done, told := 0, time.Now()
	for lines := bufio.NewScanner(output); lines.Scan(); {
		line := lines.Text()
		if strings.ContainsAny(line, " \t") {
			messages.WriteString(line + "\n")
			continue
		}
		done++
		switch {
		case terminal:
			fmt.Fprintf(t.progress, "\r%d/%d   %d of %d packages", t.step, t.steps, done, total)
		case time.Since(told) > 20*time.Second:
			t.say("  %d of %d packages", done, total)
			told = time.Now()
		}
	}
	if terminal {
		fmt.Fprintln(t.progress)
	}
	return messages.String()
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "\n" + string(exit.Stderr)
	}
	return ""
}
