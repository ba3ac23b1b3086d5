// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command profiled is bulkhead with the CPU profiler around it, for the benchmark: from SIGUSR1 to
// SIGUSR2 it records, and then writes the file that BENCH_CPU_PROFILE names. The program that is
// shipped has no such thing.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/bulkhead-dev/bulkhead/internal/cmd"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go record(signals, os.Getenv("BENCH_CPU_PROFILE"))
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func record(signals <-chan os.Signal, file string) {
	var f *os.File
	for s := range signals {
		var err error
		switch {
		case s == syscall.SIGUSR1 && f == nil:
			// Only a whole profile gets the name that is waited for.
			if f, err = os.Create(file + ".part"); err == nil {
				err = pprof.StartCPUProfile(f)
			}
		case s == syscall.SIGUSR2 && f != nil:
			pprof.StopCPUProfile()
			if err = f.Close(); err == nil {
				err = os.Rename(file+".part", file)
			}
			f = nil
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "profile to %q: %v\n", file, err)
		}
	}
}
