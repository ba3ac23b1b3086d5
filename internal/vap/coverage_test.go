// SPDX-License-Identifier: Apache-2.0

package vap_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// concernNames are all axes and portals that a spec can violate.
var concernNames = []string{
	"pid", "network", "ipc", "uts", "user", "cgroup",
	"privileged", "capabilities", "procMount", "hostPaths", "mountPropagation", "devices", "runtimeSockets",
	"hostPorts", "hostProbes", "windowsHostProcess",
}

// podConcerns are those that no field of a container violates.
var podConcerns = []string{"network", "ipc", "uts", "user"}

// volumeConcerns are violated by volumes: by whom they are mounted says nothing of a container.
var volumeConcerns = []string{"hostPaths", "runtimeSockets"}

var kinds = []string{"init", "sidecar", "regular", "ephemeral"}

// coverage counts what was seen.
type coverage struct {
	sync.Mutex
	cases int
	seen  map[string]int
}

func newCoverage() *coverage { return &coverage{seen: map[string]int{}} }

func (c *coverage) add(x *comparison, r *request, j isolation.Judgement) {
	c.Lock()
	defer c.Unlock()
	c.cases++
	if !j.Matched {
		c.seen["not matched"]++
		return
	}
	failed := map[string]bool{}
	for _, v := range j.Violations {
		failed[v.Subject()] = true
		c.seen[v.Subject()+" fails on "+operation(r)]++
		if kind := kindOf(r.pod, v.Field); kind != "" {
			c.seen[v.Subject()+" fails for "+kind]++
		}
	}
	asked := map[string]bool{}
	bare := x.source.DeepCopy()
	bare.Spec.Exemptions = nil
	if core, err := isolation.Compile(bare); err == nil {
		without := core.Judge(r.subject())
		for _, v := range without.Violations {
			asked[v.Subject()] = true
		}
		if len(x.source.Spec.Exemptions) > 0 {
			for s := range asked {
				if !failed[s] {
					c.seen[s+" is exempt on "+operation(r)]++
				} else {
					c.seen[s+" is not exempt on "+operation(r)]++
				}
			}
		}
	}
	for _, s := range judgedBy(x) {
		if !asked[s] {
			c.seen[s+" passes on "+operation(r)]++
			for _, kind := range kindsOf(r) {
				c.seen[s+" passes for "+kind]++
			}
		}
	}
	for _, v := range j.Violations {
		if strings.Contains(v.Message, "expired at") {
			c.seen["expired"]++
		}
	}
	if len(j.Exempt) > 1 {
		c.seen["several exemptions add up"]++
	}
	if r.isMirror() && len(j.Violations) > 0 {
		c.seen["mirror"]++
	}
	if r.user != nil && !r.isMirror() && len(j.Violations) > 0 {
		c.seen["no mirror"]++
	}
}

// judgedBy are the concerns of which the policy speaks.
func judgedBy(x *comparison) []string {
	var out []string
	i, p := x.source.Spec.Isolation, x.source.Spec.Portals
	if i != nil {
		for name, level := range map[string]string{
			"pid": string(i.PID), "network": string(i.Network), "ipc": string(i.IPC), "uts": string(i.UTS), "user": string(i.User), "cgroup": string(i.Cgroup),
		} {
			if level != "" && level != "Host" {
				out = append(out, name)
			}
		}
	}
	if p != nil {
		for name, judged := range map[string]bool{
			"privileged": p.Privileged != "", "capabilities": p.Capabilities != nil, "procMount": p.ProcMount != "", "hostPaths": p.HostPaths != nil,
			"mountPropagation": p.MountPropagation != "", "devices": p.Devices != "", "runtimeSockets": p.RuntimeSockets != "",
			"hostPorts": p.HostPorts != nil, "hostProbes": p.HostProbes != "", "windowsHostProcess": p.WindowsHostProcess != "",
		} {
			if judged {
				out = append(out, name)
			}
		}
	}
	return out
}

func operation(r *request) string {
	if r.old != nil {
		return "debug"
	}
	return "create"
}

// kindOf is the kind of container in which a field is; empty if it is in none.
func kindOf(pod *corev1.Pod, field string) string {
	switch {
	case strings.HasPrefix(field, "spec.containers["):
		return "regular"
	case strings.HasPrefix(field, "spec.ephemeralContainers["):
		return "ephemeral"
	case strings.HasPrefix(field, "spec.initContainers["):
		i := int(field[len("spec.initContainers[")] - '0')
		if pod.Spec.InitContainers[i].RestartPolicy != nil {
			return "sidecar"
		}
		return "init"
	}
	return ""
}

// kindsOf are the kinds of containers that are judged.
func kindsOf(r *request) []string {
	if r.old != nil {
		return []string{"ephemeral"}
	}
	out := map[string]bool{"regular": true}
	for _, c := range r.pod.Spec.InitContainers {
		if c.RestartPolicy != nil {
			out["sidecar"] = true
		} else {
			out["init"] = true
		}
	}
	return slices.Collect(maps.Keys(out))
}

// expectComplete fails if something that can be seen was not.
func (c *coverage) expectComplete(t *testing.T) {
	t.Helper()
	want := []string{"not matched", "expired", "several exemptions add up", "mirror", "no mirror"}
	for _, s := range concernNames {
		want = append(want, s+" fails on create", s+" passes on create", s+" passes on debug", s+" is exempt on create", s+" is not exempt on create")
		if slices.Contains(podConcerns, s) {
			continue
		}
		want = append(want, s+" fails on debug", s+" is exempt on debug", s+" is not exempt on debug")
		if slices.Contains(volumeConcerns, s) {
			continue
		}
		for _, kind := range kinds {
			// pid is lowered by the pod, or by an ephemeral container's target.
			if s != "pid" || kind == "ephemeral" {
				want = append(want, s+" fails for "+kind)
			}
			want = append(want, s+" passes for "+kind)
		}
	}
	for _, w := range want {
		if c.seen[w] == 0 {
			t.Errorf("never seen: %s", w)
		}
	}
	if c.cases < 20_000 {
		t.Errorf("only %d cases were compared", c.cases)
	}
	t.Logf("%d cases agree", c.cases)
}
