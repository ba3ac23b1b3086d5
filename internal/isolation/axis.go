// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"cmp"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Axis is one of the eight kinds of Linux namespaces (namespaces(7)), in the order in which
// everything is shown.
type Axis uint8

// The axes.
const (
	PID Axis = iota
	Network
	IPC
	UTS
	Mount
	User
	Cgroup
	Time
	// NumAxes is the number of axes.
	NumAxes = 8
)

var axisNames = [NumAxes]string{"pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time"}

// Axes are all axes in order.
var Axes = [NumAxes]Axis{PID, Network, IPC, UTS, Mount, User, Cgroup, Time}

// String is the axis's name in the API.
func (a Axis) String() string { return axisNames[a] }

// File is the name of the axis's link in /proc/PID/ns (namespaces(7)).
func (a Axis) File() string {
	return [NumAxes]string{"pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time"}[a]
}

// API is the axis as the API writes it.
func (a Axis) API() v1alpha1.Axis { return v1alpha1.Axis(axisNames[a]) }

// ParseAxis finds an axis by its name.
func ParseAxis(name string) (Axis, bool) {
	for a, n := range axisNames {
		if n == name {
			return Axis(a), true
		}
	}
	return 0, false
}

// ceiling is the most that a container can have on the axis: the containers of a pod always
// share the network, ipc, uts and user namespaces of their sandbox.
func (a Axis) ceiling() Level {
	switch a {
	case Network, IPC, UTS, User:
		return Pod
	default:
		return Container
	}
}

// Vector holds one level for each axis. The zero value says nothing on any axis.
type Vector [NumAxes]Level

// Satisfies tells whether v is enough for what is required on every axis.
func (v *Vector) Satisfies(required *Vector) bool {
	for a := range v {
		if !v[a].Satisfies(required[a]) {
			return false
		}
	}
	return true
}

// Lower lowers v to the levels of other where those are lower, as [Lowest] orders them.
func (v *Vector) Lower(other *Vector) {
	for a := range v {
		v[a] = Lowest(v[a], other[a])
	}
}

// Fill is a vector with the same level on every axis.
func Fill(l Level) Vector {
	var v Vector
	for a := range v {
		v[a] = l
	}
	return v
}

// admit admits that nothing is known where nobody looked.
func (v *Vector) admit() {
	for a := range v {
		v[a] = cmp.Or(v[a], Unknown)
	}
}

// API is the vector as the API writes it. Where nobody looked it is Unknown: the API has no other
// word for it, and an API server would refuse the whole report.
func (v *Vector) API() v1alpha1.Levels {
	w := *v
	w.admit()
	return v1alpha1.Levels{
		PID: w[PID].API(), Network: w[Network].API(), IPC: w[IPC].API(), UTS: w[UTS].API(),
		Mount: w[Mount].API(), User: w[User].API(), Cgroup: w[Cgroup].API(), Time: w[Time].API(),
	}
}

// VectorOf reads a vector as the API writes it. What is no level is Unknown: a report is written
// by a node, and nothing that a node writes may pass by not being understood.
func VectorOf(l v1alpha1.Levels) Vector {
	named := [NumAxes]v1alpha1.Level{
		PID: l.PID, Network: l.Network, IPC: l.IPC, UTS: l.UTS,
		Mount: l.Mount, User: l.User, Cgroup: l.Cgroup, Time: l.Time,
	}
	var v Vector
	for a, name := range named {
		level, err := ParseLevel(string(name))
		if err != nil || level == None {
			level = Unknown
		}
		v[a] = level
	}
	return v
}

// requirementOf reads what a policy or an exemption demands; an axis left out is None.
func requirementOf(i *v1alpha1.Isolation) (Vector, error) {
	var v Vector
	if i == nil {
		return v, nil
	}
	named := [NumAxes]string{
		PID: string(i.PID), Network: string(i.Network), IPC: string(i.IPC), UTS: string(i.UTS),
		Mount: string(i.Mount), User: string(i.User), Cgroup: string(i.Cgroup),
	}
	for a, name := range named {
		level, err := ParseLevel(name)
		if err != nil || level != None && !demandable(Axis(a), level) {
			return v, &DemandError{Axis: Axis(a), Value: name}
		}
		v[a] = level
	}
	return v, nil
}

// demandable tells which levels can be demanded on an axis; the schema says the same in its enums.
func demandable(a Axis, l Level) bool {
	switch a {
	case PID:
		return l == Host || l == Pod || l == Container
	case Network, IPC, UTS, User:
		return l == Host || l == Pod
	case Mount, Cgroup:
		return l == Host || l == Container
	default:
		return false
	}
}

// DemandError is a level that cannot be demanded on its axis.
type DemandError struct {
	Axis  Axis
	Value string
}

func (e *DemandError) Error() string {
	var can string
	for _, l := range []Level{Host, Pod, Container} {
		if demandable(e.Axis, l) {
			if can != "" {
				can += ", "
			}
			can += l.String()
		}
	}
	return "isolation." + e.Axis.String() + ": " + quote(e.Value) + " cannot be demanded, only " + can
}
