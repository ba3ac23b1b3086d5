// SPDX-License-Identifier: Apache-2.0

package isolation

import corev1 "k8s.io/api/core/v1"

// An axisCheck says what a spec claims on one axis, and which of its fields hold it below a
// requirement. Each stands in a file axis_*.go of its own.
type axisCheck struct {
	// claim is the lowest that the scope claims; None if the spec promises nothing.
	claim func(s scope) Level
	// causes appends the fields that hold the claim below what is required.
	causes func(s scope, required Level, out []cause) []cause
}

// A cause is a field that asks for too much.
type cause struct {
	field  string // such as spec.hostPID
	value  string // as it stands in the spec; <unset> if it does not
	remedy string // what would pass
	claim  Level  // what the field claims; None for a portal
}

// axisChecks are the checks of the axes on which a spec can claim too little. No field gives up
// the mount namespace, and none speaks of time.
var axisChecks = [NumAxes]axisCheck{
	PID:     pidCheck,
	Network: networkCheck,
	IPC:     ipcCheck,
	UTS:     utsCheck,
	User:    userCheck,
	Cgroup:  cgroupCheck,
	Mount:   {claim: func(scope) Level { return Container }},
	Time:    {claim: func(scope) Level { return None }},
}

const unset = "<unset>"

// claims is what the scope claims on all axes.
func (s scope) claims() Vector {
	var v Vector
	for a := range axisChecks {
		v[a] = axisChecks[a].claim(s)
	}
	return v
}

// ClaimOf is what a pod's spec promises for the container of that name, init and ephemeral
// containers included. ok is false if the spec has no such container.
//
// The difference to the claim of a whole pod: an ephemeral container's target shares its process
// namespace, its siblings do not.
func ClaimOf(spec *corev1.PodSpec, name string) (v Vector, ok bool) {
	subject := &Subject{Spec: spec, Path: "spec"}
	pod := scope{Subject: subject}
	debug := scope{Subject: subject, ephemeral: true}
	v = pod.claims()
	v[Cgroup] = None
	claimOwn := func(c container) {
		if c.Name == name {
			ok = true
			if isPrivileged(c) {
				v[Cgroup] = Host
			}
		}
	}
	pod.containers(claimOwn)
	debug.containers(claimOwn)
	if !ok {
		return Vector{}, false
	}
	for i := range spec.EphemeralContainers {
		e := &spec.EphemeralContainers[i]
		if e.TargetContainerName != "" && (e.Name == name || e.TargetContainerName == name) {
			v[PID] = min(v[PID], Pod)
		}
	}
	return v, true
}
