// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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

// mostDearer is how many times as much a pod may cost in the largest cluster as in the smallest. What a
// start costs in any cluster makes the pods of a small one dearer; the garbage collector works harder
// for those of a large one.
const mostDearer = 1.5

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
		fmt.Fprintf(t, "%d\t%d\t%d\t%.1f s\t%.1f s\t%.0f µs\t%.2f s\t%.2f s\t%.2f s\t%d MiB\t%.1f KiB\t%s\n", m.Pods, m.Nodes, m.Policies,
			m.Start, m.StartCPU, 1e6*m.cpuPerPod(), m.PolicyEdit, m.PodChange, m.PodChangeWorst,
			m.Memory.Peak>>20, float64(m.Memory.Peak)/1024/float64(m.Pods), m.idleColumns())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.printTargets(out)
	costs := r.compare(out)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(costs, os.WriteFile(filepath.Join(dir, "bench-scale.json"), append(b, '\n'), 0o600), r.plot(filepath.Join(dir, "bench-scale.png")))
}

// cpuPerPod is the processor time of the start in seconds, for each pod.
func (m *measurement) cpuPerPod() float64 { return m.StartCPU / float64(m.Pods) }

func (m *measurement) idleColumns() string {
	if m.Idle == 0 {
		return "–\t–"
	}
	return fmt.Sprintf("%d\t%.1f%%", m.IdleWrites, 100*m.IdleCPU)
}

// compare says what a pod costs in the smallest cluster and in the largest that were measured. That one is
// no dearer is the one figure which does not depend on the machine, so it is an error if it is: then the
// cost grows faster than the cluster.
func (r *result) compare(out io.Writer) error {
	byPods := func(a, b measurement) int { return cmp.Compare(a.Pods, b.Pods) }
	small, large := slices.MinFunc(r.Sizes, byPods), slices.MaxFunc(r.Sizes, byPods)
	if small.Pods == large.Pods {
		return nil
	}
	told := fmt.Sprintf("a pod costs %.0f µs of processor time among %d pods, and %.0f µs among %d",
		1e6*small.cpuPerPod(), small.Pods, 1e6*large.cpuPerPod(), large.Pods)
	if large.cpuPerPod() > mostDearer*small.cpuPerPod() {
		return fmt.Errorf("%s: more than %g times as much", told, mostDearer)
	}
	fmt.Fprintf(out, "\n%s\n", told)
	return nil
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
		if m.Idle > 0 {
			say(m.IdleWrites == 0, "no write without a change: %d in %.0f s", m.IdleWrites, m.Idle)
		}
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
