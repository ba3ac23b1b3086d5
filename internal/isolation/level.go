// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Level says how isolated a container is on one axis. Levels from [Host] on are ordered; the
// values before it say why there is no level, and never satisfy anything.
type Level uint8

const (
	// None: nothing is said. In a requirement: not demanded. In a claim: not promised. In an
	// observation: nobody looked.
	None Level = iota
	// Unknown: the kernel was asked and did not answer.
	Unknown
	// NotApplicable: the node's kernel cannot show it (Kata, gVisor, Windows).
	NotApplicable
	// Host: shares the node's namespace.
	Host
	// Foreign: in a namespace that belongs to another pod. Only ever observed.
	Foreign
	// Pod: shared within its own pod, with nobody else.
	Pod
	// Container: its own.
	Container
)

var levelNames = [...]string{
	None: "", Unknown: "Unknown", NotApplicable: "NotApplicable",
	Host: "Host", Foreign: "Foreign", Pod: "Pod", Container: "Container",
}

// String is the level's name in the API; None is the empty string.
func (l Level) String() string { return levelNames[l] }

// API is the level as the API writes it.
func (l Level) API() v1alpha1.Level { return v1alpha1.Level(l.String()) }

// Known tells whether l is a level, and not a reason for having none.
func (l Level) Known() bool { return l >= Host }

// Satisfies tells whether l is enough for what is required. A required None is satisfied by
// everything, anything else by known levels alone: Unknown is never a pass.
func (l Level) Satisfies(required Level) bool {
	return required == None || l.Known() && l >= required
}

// Below tells whether l is a known level that is less than other.
func (l Level) Below(other Level) bool { return l.Known() && l < other }

// rank orders levels for [Lowest]: what was seen to be open beats what could not be seen, and
// that beats what was seen to be closed.
var rank = [...]uint8{Host: 0, Foreign: 1, Unknown: 2, NotApplicable: 3, Pod: 4, Container: 5, None: 6}

// Lowest is the level of two processes together: Host and Foreign beat Unknown, Unknown beats
// the rest, None is neutral.
func Lowest(a, b Level) Level {
	if rank[a] <= rank[b] {
		return a
	}
	return b
}

// ParseLevel reads a level as the API writes it. The empty string is None.
func ParseLevel(name string) (Level, error) {
	for l, n := range levelNames {
		if n == name {
			return Level(l), nil
		}
	}
	return None, fmt.Errorf("level %q is none of Host, Foreign, Pod, Container, Unknown, NotApplicable", name)
}
