// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
)

// Directory is what the API knows of the pods on this node.
type Directory interface {
	// Pods are the pods that the API places on this node. known is false while it has not been
	// asked: then nothing is missed, and nothing is called unknown to the API.
	Pods() (pods []Pod, known bool)
}

// Pod is a pod as the API knows it.
type Pod struct {
	UID, Namespace, Name string
	// ConfigHash is what a static pod's cgroup names instead of the UID of its mirror; empty for
	// others.
	ConfigHash string
	// NotApplicable is the reason why the node's kernel does not show the pod; empty if it does.
	NotApplicable string
	// Starting is set if the status has containers wait, or does not name all of them.
	Starting bool
	// Containers that have an ID, former ones that the status still names included.
	Containers []Container
}

// Container is a container as the API knows it.
type Container struct {
	Name string
	// ID without the runtime's scheme.
	ID string
	// Running is set if the status says so.
	Running bool
	// Claim is what the pod's spec promises for it.
	Claim isolation.Vector
	// Grant is what the pod's spec asks the node for on its behalf; nil if it is not known.
	Grant *openings.Grant
}

// index finds pods and containers of one moment.
type index struct {
	known      bool
	pods       []Pod
	containers map[string]listed
	byUID      map[string]*Pod
	byHash     map[string]*Pod
}

// listed is a container that the API lists, with its pod.
type listed struct {
	pod       *Pod
	container *Container
}

// indexOf asks the directory; without one nothing is known.
func indexOf(dir Directory) *index {
	x := &index{}
	if dir == nil {
		return x
	}
	x.pods, x.known = dir.Pods()
	if !x.known {
		return x
	}
	x.containers = make(map[string]listed, 3*len(x.pods))
	x.byUID = make(map[string]*Pod, len(x.pods))
	x.byHash = make(map[string]*Pod)
	for i := range x.pods {
		pod := &x.pods[i]
		x.byUID[pod.UID] = pod
		if pod.ConfigHash != "" {
			x.byHash[pod.ConfigHash] = pod
		}
		for j := range pod.Containers {
			x.containers[pod.Containers[j].ID] = listed{pod, &pod.Containers[j]}
		}
	}
	return x
}

// pod finds the pod that a cgroup names.
func (x *index) pod(uid string) *Pod {
	if pod := x.byUID[uid]; pod != nil {
		return pod
	}
	return x.byHash[uid]
}

// self is the reader's own container: the only one that runs in the pod of that name. Where there
// are several the ID stays empty.
func (x *index) self(namespace, name string) Attribution {
	if name == "" {
		return Attribution{}
	}
	for i := range x.pods {
		pod := &x.pods[i]
		if pod.Namespace != namespace || pod.Name != name {
			continue
		}
		at := Attribution{PodUID: pod.UID, Kubernetes: true}
		running := 0
		for j := range pod.Containers {
			if pod.Containers[j].Running {
				at.Container = pod.Containers[j].ID
				running++
			}
		}
		if running != 1 {
			at.Container = ""
		}
		return at
	}
	return Attribution{}
}
