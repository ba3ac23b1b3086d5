// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

// The targets of the largest cluster.
const (
	targetMemory     = 600 << 20
	targetStart      = 60.0
	targetPolicyEdit = 5.0
	targetPodChange  = 1.0
)

// result is what a run found.
type result struct {
	Machine process.Machine
	Sizes   []measurement
}

// write prints a table and which targets are met, and leaves figures and a picture in a folder.
func (r *result) write(out io.Writer, dir string) error {
	fmt.Fprintf(out, "%d × %s, %d MiB; Linux %s, %s; load before: %s\n\n", r.Machine.Processors, r.Machine.Processor,
		r.Machine.MemoryBytes>>20, r.Machine.Kernel, r.Machine.Go, r.Machine.Load)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PODS\tNODES\tPOLICIES\tSTART\tCPU\tCPU/POD\tPOLICY EDIT\tPOD CHANGE\tWORST\tPEAK\tPEAK/POD\tIDLE WRITES\tIDLE CPU")
	for i := range r.Sizes {
		m := &r.Sizes[i]
		fmt.Fprintf(t, "%d\t%d\t%d\t%.1f s\t%.1f s\t%.0f µs\t%.2f s\t%.2f s\t%.2f s\t%d MiB\t%.1f KiB\t%d\t%.1f%%\n", m.Pods, m.Nodes, m.Policies,
			m.Start, m.StartCPU, 1e6*m.StartCPU/float64(m.Pods), m.PolicyEdit, m.PodChange, m.PodChangeWorst,
			m.Memory.Peak>>20, float64(m.Memory.Peak)/1024/float64(m.Pods), m.IdleWrites, 100*m.IdleCPU)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.printTargets(out)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "bench-scale.json"), append(b, '\n'), 0o600), r.plot(filepath.Join(dir, "bench-scale.png")))
}

// printTargets says which targets are met by the largest cluster, if it was measured. It is no test:
// figures are the machine's.
func (r *result) printTargets(out io.Writer) {
	for i := range r.Sizes {
		m := &r.Sizes[i]
		if m.size != largest {
			continue
		}
		say := func(met bool, format string, args ...any) {
			word := "target met: "
			if !met {
				word = "target MISSED: "
			}
			fmt.Fprintf(out, word+format+"\n", args...)
		}
		fmt.Fprintln(out)
		say(m.Memory.Peak <= targetMemory, "memory at most %d MiB: %d MiB", targetMemory>>20, m.Memory.Peak>>20)
		say(m.Start <= targetStart, "true %.0f s after the start: %.1f s", targetStart, m.Start)
		say(m.PolicyEdit <= targetPolicyEdit, "true %.0f s after a policy's edit: %.2f s", targetPolicyEdit, m.PolicyEdit)
		say(m.PodChangeWorst <= targetPodChange, "true %.0f s after a pod's change: %.2f s at worst", targetPodChange, m.PodChangeWorst)
		say(m.IdleWrites == 0, "no write without a change: %d", m.IdleWrites)
	}
}

// plot draws cost against size.
func (r *result) plot(file string) error {
	p := plot.New()
	p.Title.Text = "The manager's cost against the size of the cluster"
	p.X.Label.Text, p.Y.Label.Text = "pods", "MiB resident at most; CPU of the start, in 0.1 s"
	p.X.Min, p.Y.Min = 0, 0
	var memory, cpu plotter.XYs
	for i := range r.Sizes {
		m := &r.Sizes[i]
		memory = append(memory, plotter.XY{X: float64(m.Pods), Y: float64(m.Memory.Peak >> 20)})
		cpu = append(cpu, plotter.XY{X: float64(m.Pods), Y: 10 * m.StartCPU})
	}
	for i, line := range []struct {
		name string
		xy   plotter.XYs
	}{{"memory", memory}, {"CPU of the start", cpu}} {
		l, points, err := plotter.NewLinePoints(line.xy)
		if err != nil {
			return fmt.Errorf("draw %s: %w", line.name, err)
		}
		l.Dashes = [][]vg.Length{nil, {vg.Points(4), vg.Points(3)}}[i]
		p.Add(l, points)
		p.Legend.Add(line.name, l, points)
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	if err := p.Save(18*vg.Centimeter, 12*vg.Centimeter, file); err != nil {
		return fmt.Errorf("draw %s: %w", file, err)
	}
	return nil
}
