// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// profileVariable tells a program with the profiler around it where to write. The manager itself
// knows no such thing.
const profileVariable = "BENCH_CPU_PROFILE"

// startProfile begins to profile, if this is the program that can. The other one does not know the
// signal, and must not get it.
func (m *manager) startProfile() error {
	if !m.profiled {
		return nil
	}
	return m.Signal(syscall.SIGUSR1)
}

// profileText ends the profile, keeps it in a folder, and returns where the time went.
func (m *manager) profileText(ctx context.Context, binary, out string) (string, error) {
	if err := m.Signal(syscall.SIGUSR2); err != nil {
		return "", fmt.Errorf("end the profile: %w", err)
	}
	if err := eventually(ctx, func(context.Context) error { _, err := os.Stat(m.profile); return err }); err != nil {
		return "", fmt.Errorf("the manager has written no profile: %w", err)
	}
	b, err := os.ReadFile(m.profile)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(out, "bench-admission.pprof")
	if err := os.WriteFile(kept, b, 0o644); err != nil {
		return "", err
	}
	var text string
	for _, order := range []string{"-flat", "-cum"} {
		pprof := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", order, "-nodecount=40", binary, kept)
		top, err := pprof.Output()
		if err != nil {
			return "", fmt.Errorf("go tool pprof: %w", err)
		}
		text += string(top) + "\n"
	}
	return text, nil
}
