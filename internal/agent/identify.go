// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// What is unknown to the API, by reason.
const (
	strayStatic    = "a static pod of which the API server knows no mirror: its manifest is on the node, and nothing in the API shows it"
	strayPod       = "the API server knows no such pod on this node: it was deleted there, or never created"
	strayContainer = "the pod's status names no such container"
	strayProcess   = "processes in the pod's cgroup are in none of its containers"
)

// identify joins the containers that were seen with those that the API knows.
func identify(groups []*group, x *index) []isolation.ContainerLook {
	looks := make([]isolation.ContainerLook, 0, len(groups)+8)
	pods := podsOf(groups, x)
	for _, g := range groups {
		look := isolation.ContainerLook{ID: g.at.Container, Processes: g.processes, Crowd: g.crowd}
		if g.at.PodUID != "" {
			look.Pod.UID = g.at.PodUID
			pods[g.at.PodUID].describe(g, x, &look)
		}
		looks = append(looks, look)
	}
	return looks
}

// podGroup is what was seen of one pod.
type podGroup struct {
	pod     *Pod // nil if the API does not know it
	groups  []*group
	sandbox *group // nil if there is none, or it cannot be told
}

// podsOf groups containers by the pod that their cgroups name.
func podsOf(groups []*group, x *index) map[string]*podGroup {
	pods := make(map[string]*podGroup)
	for _, g := range groups {
		if g.at.PodUID == "" {
			continue
		}
		p := pods[g.at.PodUID]
		if p == nil {
			p = &podGroup{}
			pods[g.at.PodUID] = p
		}
		p.groups = append(p.groups, g)
		if c, ok := x.containers[g.at.Container]; ok {
			// Container IDs first: the cgroup of a static pod names a UID that the API does not know.
			p.pod = c.pod
		}
	}
	for uid, p := range pods {
		if p.pod == nil {
			p.pod = x.pod(uid)
		}
		p.sandbox = p.findSandbox(x)
	}
	return pods
}

// describe fills in what is known of a container of the pod.
func (p *podGroup) describe(g *group, x *index, look *isolation.ContainerLook) {
	look.Sandbox = g == p.sandbox
	if p.pod != nil {
		look.Pod = isolation.PodRef{UID: p.pod.UID, Namespace: p.pod.Namespace, Name: p.pod.Name}
		look.NotApplicable = p.pod.NotApplicable
	}
	if c, ok := x.containers[g.at.Container]; ok && c.pod == p.pod {
		look.Name, look.Claim, look.Expected = c.container.Name, c.container.Claim, c.container.Running
		return
	}
	switch {
	case !x.known || !g.at.Kubernetes:
	case p.pod == nil && g.at.Static():
		look.Stray = strayStatic
	case p.pod == nil:
		look.Stray = strayPod
	case look.Sandbox:
	case g.at.Container == strayID(g.at.PodUID):
		look.Stray = strayProcess
	default:
		look.Stray, look.Starting = strayContainer, p.pod.Starting
	}
}

// findSandbox finds the container that holds the pod's namespaces. No status names it. It is the
// one with a single process that is older than all of the pod's others.
//
// A pod of podman has none that counts: its infra container holds namespaces that may be older than it, as the
// user namespace that all containers of a user share where podman runs without root, and podman lists it.
//
// Without a status to exclude the pod's real containers that alone could be one of these, where
// the runtime needs no sandbox: CRI-O has one only where it holds a pid namespace for the others.
func (p *podGroup) findSandbox(x *index) *group {
	var oldest *group
	for _, g := range p.groups {
		if oldest == nil || older(g.first(), oldest.first()) {
			oldest = g
		}
	}
	if !oldest.at.Kubernetes || len(oldest.processes) != 1 || oldest.at.Container == strayID(oldest.at.PodUID) {
		return nil
	}
	if p.pod != nil {
		if _, listed := x.containers[oldest.at.Container]; listed {
			return nil
		}
		return oldest
	}
	if len(p.groups) < 2 {
		return nil
	}
	if oldest.at.Runtime == CRIO {
		for _, g := range p.groups {
			if g.first().Namespaces[isolation.PID] != oldest.first().Namespaces[isolation.PID] {
				return nil
			}
		}
	}
	return oldest
}

// first is the group's oldest process.
func (g *group) first() *isolation.Process {
	first := &g.processes[0]
	for i := range g.processes {
		if older(&g.processes[i], first) {
			first = &g.processes[i]
		}
	}
	return first
}

// absent are containers that the API calls running and of which no process was seen.
func absent(seen []isolation.ContainerLook, x *index) []isolation.ContainerLook {
	here := make(map[string]bool, len(seen))
	for i := range seen {
		here[seen[i].ID] = true
	}
	var looks []isolation.ContainerLook
	for i := range x.pods {
		pod := &x.pods[i]
		for j := range pod.Containers {
			c := &pod.Containers[j]
			if !c.Running || here[c.ID] {
				continue
			}
			looks = append(looks, isolation.ContainerLook{
				ID: c.ID, Name: c.Name, Claim: c.Claim, Expected: true, NotApplicable: pod.NotApplicable,
				Pod: isolation.PodRef{UID: pod.UID, Namespace: pod.Namespace, Name: pod.Name},
			})
		}
	}
	return looks
}

// sortContainers puts containers in an order that does not change from look to look.
func sortContainers(looks []isolation.ContainerLook) {
	slices.SortFunc(looks, func(a, b isolation.ContainerLook) int {
		if a.Sandbox != b.Sandbox && a.Pod == b.Pod {
			if a.Sandbox {
				return -1
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(a.Pod.Namespace, b.Pod.Namespace),
			cmp.Compare(a.Pod.Name, b.Pod.Name),
			cmp.Compare(a.Pod.UID, b.Pod.UID),
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.ID, b.ID),
		)
	})
}
