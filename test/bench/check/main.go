// SPDX-License-Identifier: Apache-2.0

// Command check measures `bulkhead check` as a whole process, start-up included: it builds the
// program, writes manifests of pods such as people run, has them judged by three policies, again and
// again, and prints medians: of the time on the clock, of the time of all processors, and of the
// largest resident memory, as wait4(2) tells them. The first row is the program doing nothing.
//
//	go run ./test/bench/check -pods 1000 -rounds 15
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// policies are the three of config/samples that the pods are judged by: Deny, Warn and Audit.
var policies = []string{"restricted.yaml", "baseline-warn.yaml", "user-namespaces-audit.yaml"}

// run is what one run of the program took.
type run struct {
	wall, cpu time.Duration
	resident  int64 // bytes
}

// row is a case that is measured.
type row struct {
	name string
	args []string
	// says is what the output holds if the pods were really judged.
	says string
	runs []run
}

func main() {
	pods := flag.Int("pods", 1000, "so many pods are judged")
	rounds := flag.Int("rounds", 15, "so often, each case in turn")
	program := flag.String("program", "", "measure this program, not one built from the checkout")
	flag.Parse()
	if err := measure(*pods, *rounds, *program); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(pods, rounds int, program string) error {
	dir, err := os.MkdirTemp("", "bulkhead-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if program == "" {
		program = filepath.Join(dir, "bulkhead")
		build := exec.Command("go", "build", "-trimpath", "-o", program, "github.com/bulkhead-dev/bulkhead")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the program: %w\n%s", err, out)
		}
	}
	rows, err := cases(dir, pods)
	if err != nil {
		return err
	}
	for range rounds {
		for i := range rows {
			r, err := rows[i].once(program)
			if err != nil {
				return err
			}
			rows[i].runs = append(rows[i].runs, r)
		}
	}
	return print(rows, pods, rounds)
}

// cases writes the input and says how it is judged.
func cases(dir string, pods int) ([]row, error) {
	input := map[string]string{
		"namespace.yaml": namespace, "pods.yaml": manifests(pods, 0, yamlPod), "some.yaml": manifests(pods, 10, yamlPod),
		"list.json": "{\"apiVersion\":\"v1\",\"kind\":\"PodList\",\"items\":[\n" + manifests(pods, 10, jsonPod) + "]}\n",
	}
	for name, text := range input {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	judged := func(file string, more ...string) []string {
		args := []string{"check", "-f", filepath.Join(dir, file), "--namespaces", filepath.Join(dir, "namespace.yaml")}
		for _, p := range policies {
			args = append(args, "--policy", filepath.Join("config", "samples", p))
		}
		return append(args, more...)
	}
	denied := strconv.Itoa(pods/10) + " denied"
	return []row{
		{name: "start-up alone", args: []string{"version"}, says: "bulkhead"},
		{name: "YAML, all audited", args: judged("pods.yaml"), says: strconv.Itoa(pods) + " audited"},
		{name: "YAML, 1 of 10 denied", args: judged("some.yaml"), says: denied},
		{name: "JSON list, 1 of 10 denied", args: judged("list.json"), says: denied},
		{name: "YAML, 1 of 10 denied, -o sarif", args: judged("some.yaml", "-o", "sarif"), says: `"ruleId": "isolation/pid"`},
	}, nil
}

// once runs the program.
func (r *row) once(program string) (run, error) {
	c := exec.Command(program, r.args...)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	begin := time.Now()
	err := c.Run()
	wall := time.Since(begin)
	var exited *exec.ExitError
	if err != nil && (!errors.As(err, &exited) || exited.ExitCode() != 1) {
		return run{}, fmt.Errorf("%s: %w\n%s", r.name, err, errOut.Bytes())
	}
	if !strings.Contains(out.String(), r.says) {
		return run{}, fmt.Errorf("%s: the output does not say %q: not all was judged", r.name, r.says)
	}
	usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return run{}, errors.New("this system does not tell what a process used")
	}
	return run{wall, c.ProcessState.UserTime() + c.ProcessState.SystemTime(), usage.Maxrss << 10}, nil
}

func print(rows []row, pods, rounds int) error {
	fmt.Printf("%d pods, %d policies, medians of %d runs (and the worst)\n\n", pods, len(policies), rounds)
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "CASE\tWALL\tCPU\tRESIDENT")
	for i := range rows {
		r := &rows[i]
		wall, wallWorst := spread(r.runs, func(r run) float64 { return r.wall.Seconds() })
		cpu, cpuWorst := spread(r.runs, func(r run) float64 { return r.cpu.Seconds() })
		resident, residentWorst := spread(r.runs, func(r run) float64 { return float64(r.resident) / (1 << 20) })
		fmt.Fprintf(t, "%s\t%.3f s (%.3f)\t%.3f s (%.3f)\t%.1f MiB (%.1f)\n",
			r.name, wall, wallWorst, cpu, cpuWorst, resident, residentWorst)
	}
	return t.Flush()
}

// spread is the median and the largest.
func spread(runs []run, value func(run) float64) (median, worst float64) {
	all := make([]float64, len(runs))
	for i, r := range runs {
		all[i] = value(r)
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1]
}
