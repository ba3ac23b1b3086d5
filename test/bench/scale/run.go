// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

// patience is how long a status may take to become true before the benchmark gives up.
const patience = 10 * time.Minute

// measurement is what one cluster showed.
type measurement struct {
	size
	// PodBytes is what the API server stores of one pod.
	PodBytes int
	// Start, PolicyEdit and PodChange are the seconds until every policy's status was true: from the start
	// of the manager, from a policy's edit, and from one pod's deletion or creation (median and worst).
	Start, PolicyEdit, PodChange, PodChangeWorst float64
	// StartCPU is the processor time of the start in seconds.
	StartCPU float64
	// Idle is how many seconds nothing happened; 0 if that was left out. IdleWrites is what was written
	// meanwhile, Leases aside; IdleCPU is the share of one processor that the manager took.
	Idle       float64
	IdleWrites int
	IdleCPU    float64
	// Memory of the manager at the end.
	Memory process.Memory
}

// runOne measures a cluster of one size.
func runOne(ctx context.Context, s size, idle time.Duration) (*measurement, error) {
	dir, err := os.MkdirTemp("", "bulkhead-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w := &world{size: s, began: time.Now().Truncate(time.Second)}
	c, err := startCluster(ctx, w, dir)
	if c != nil {
		defer c.stop()
	}
	if err != nil {
		return nil, err
	}
	if err := rest(ctx); err != nil {
		return nil, err
	}
	m := &measurement{size: s, PodBytes: w.pod(0).Size()}
	if err := c.agentsLive(ctx); err != nil {
		return nil, err
	}
	p, err := c.startManager(ctx)
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	if err := c.measure(ctx, m, p, idle); err != nil {
		return nil, fmt.Errorf("%w; the manager says:\n%s", err, p.Log())
	}
	return m, nil
}

// rest waits until the API server has taken in what was stored beside it, which it never has to all at
// once.
func rest(ctx context.Context) error {
	pid, err := process.Child("kube-apiserver")
	if err != nil {
		return err
	}
	for last := time.Duration(0); ; {
		now, err := process.CPU(pid)
		if err != nil {
			return err
		}
		if last > 0 && now-last < 200*time.Millisecond {
			return nil
		}
		last = now
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (c *cluster) measure(ctx context.Context, m *measurement, p *process.Process, idle time.Duration) error {
	wanted := c.wanted()
	began := time.Now()
	var err error
	if m.Start, err = c.until(ctx, began, wanted); err != nil {
		return fmt.Errorf("after the start: %w", err)
	}
	cpu, err := process.CPU(p.PID())
	if err != nil {
		return err
	}
	m.StartCPU = cpu.Seconds()
	progress("true after %.1f s, %.1f s of processor time", m.Start, m.StartCPU)
	if err := c.editPolicy(ctx, m, wanted); err != nil {
		return err
	}
	progress("true %.2f s after a policy's edit", m.PolicyEdit)
	if err := c.changePods(ctx, m, wanted); err != nil {
		return err
	}
	progress("true %.2f s after a pod's change, at worst %.2f s", m.PodChange, m.PodChangeWorst)
	if idle > 0 {
		if err := c.stayIdle(ctx, m, p, idle); err != nil {
			return err
		}
		progress("%d writes in %s without a change, %.1f%% of a processor", m.IdleWrites, idle, 100*m.IdleCPU)
	}
	select {
	case err := <-c.failed:
		return err
	default:
	}
	m.Memory, err = process.MemoryOf(p.PID())
	progress("%d MiB resident at most, %d MiB at the end", m.Memory.Peak>>20, m.Memory.Resident>>20)
	return err
}

// wanted are the counts of each policy, by its name.
func (c *cluster) wanted() map[string]v1alpha1.PodCounts {
	out := make(map[string]v1alpha1.PodCounts)
	everybody := c.counts(-1)
	for i, p := range c.policies() {
		if i < teams {
			out[p.Name] = c.counts(i)
		} else {
			out[p.Name] = everybody
		}
	}
	return out
}

// until waits until every policy's status is true, and tells how many seconds after a moment that was.
func (c *cluster) until(ctx context.Context, since time.Time, wanted map[string]v1alpha1.PodCounts) (float64, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		var all v1alpha1.IsolationPolicyList
		if err := c.server.Client.List(ctx, &all); err != nil {
			return 0, err
		}
		wrong := ""
		for i := range all.Items {
			p := &all.Items[i]
			if want := wanted[p.Name]; p.Status.ObservedGeneration != p.Generation || p.Status.Pods != want {
				wrong = fmt.Sprintf("the status of IsolationPolicy %s says %+v of generation %d, and should say %+v of %d",
					p.Name, p.Status.Pods, p.Status.ObservedGeneration, want, p.Generation)
				break
			}
		}
		if wrong == "" && len(all.Items) == len(wanted) {
			return time.Since(since).Seconds(), nil
		}
		select {
		case <-ctx.Done():
			return 0, errors.New(wrong)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// editPolicy lets one policy that matches every pod no longer mind host paths, and back.
func (c *cluster) editPolicy(ctx context.Context, m *measurement, wanted map[string]v1alpha1.PodCounts) error {
	const name = "everybody-49"
	edit := func(portal *v1alpha1.HostPathsPortal, want v1alpha1.PodCounts) error {
		var began time.Time
		// The manager may write the status at the same moment.
		if err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			var p v1alpha1.IsolationPolicy
			if err := c.server.Client.Get(ctx, client.ObjectKey{Name: name}, &p); err != nil {
				return err
			}
			p.Spec.Portals.HostPaths = portal
			began = time.Now()
			return c.server.Client.Update(ctx, &p)
		}); err != nil {
			return fmt.Errorf("edit IsolationPolicy %s: %w", name, err)
		}
		wanted[name] = want
		took, err := c.until(ctx, began, wanted)
		m.PolicyEdit = max(m.PolicyEdit, took)
		return err
	}
	before := wanted[name]
	lenient := before
	lenient.Compliant, lenient.Violating = before.Compliant+before.Violating, 0
	if err := edit(nil, lenient); err != nil {
		return fmt.Errorf("after a policy's edit: %w", err)
	}
	return edit(&v1alpha1.HostPathsPortal{}, before)
}

// changePods deletes pods, and creates them again where no agent has seen them.
func (c *cluster) changePods(ctx context.Context, m *measurement, wanted map[string]v1alpha1.PodCounts) error {
	var took []float64
	change := func(i int, by v1alpha1.PodCounts, do func(*corev1.Pod) error) error {
		team := c.policies()[c.team(c.namespaceOf(i))].Name
		for name, n := range wanted {
			if name == team || strings.HasPrefix(name, "everybody") {
				n.Matched, n.Compliant, n.Unverified = n.Matched+by.Matched, n.Compliant+by.Compliant, n.Unverified+by.Unverified
				wanted[name] = n
			}
		}
		// The change is one, and not the next of a burst: a status is written once a second at most.
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
		began := time.Now()
		if err := do(c.pod(i)); err != nil {
			return err
		}
		t, err := c.until(ctx, began, wanted)
		took = append(took, t)
		return err
	}
	for round := range 5 {
		// Neither the first replicas of a template that violates nor one that breaches.
		i := replicas + 1 + round
		if err := change(i, v1alpha1.PodCounts{Matched: -1, Compliant: -1}, func(p *corev1.Pod) error {
			return c.server.Client.Delete(ctx, p, client.GracePeriodSeconds(0))
		}); err != nil {
			return fmt.Errorf("after a pod was deleted: %w", err)
		}
		if err := change(i, v1alpha1.PodCounts{Matched: 1, Unverified: 1}, func(p *corev1.Pod) error {
			p.ResourceVersion, p.UID, p.GenerateName, p.Status = "", "", "", corev1.PodStatus{}
			p.Spec.Volumes = p.Spec.Volumes[:2]
			for i := range p.Spec.Containers {
				p.Spec.Containers[i].VolumeMounts = p.Spec.Containers[i].VolumeMounts[:2]
			}
			return c.server.Client.Create(ctx, p)
		}); err != nil {
			return fmt.Errorf("after a pod was created: %w", err)
		}
	}
	slices.Sort(took)
	m.PodChange, m.PodChangeWorst = took[len(took)/2], took[len(took)-1]
	return nil
}

// stayIdle counts what is written while nothing changes.
func (c *cluster) stayIdle(ctx context.Context, m *measurement, p *process.Process, idle time.Duration) error {
	// What the last change brought with it is over, and no pod is younger than a minute.
	if err := sleep(ctx, 65*time.Second); err != nil {
		return err
	}
	before, err := c.writes(ctx)
	if err != nil {
		return err
	}
	cpu, err := process.CPU(p.PID())
	if err != nil {
		return err
	}
	if err := sleep(ctx, idle); err != nil {
		return err
	}
	after, err := c.writes(ctx)
	if err != nil {
		return err
	}
	now, err := process.CPU(p.PID())
	if err != nil {
		return err
	}
	m.Idle, m.IdleWrites, m.IdleCPU = idle.Seconds(), after-before, (now-cpu).Seconds()/idle.Seconds()
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// writes is how many requests changed something since the API server started, Leases aside.
func (c *cluster) writes(ctx context.Context) (int, error) {
	k, err := kubernetes.NewForConfig(c.server.Config)
	if err != nil {
		return 0, err
	}
	text, err := k.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	total := 0
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "apiserver_request_total{") || strings.Contains(line, `resource="leases"`) ||
			!slices.ContainsFunc([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}, func(verb string) bool {
				return strings.Contains(line, `verb="`+verb+`"`)
			}) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read the API server's metrics: %q: %w", line, err)
		}
		total += int(n)
	}
	return total, nil
}
