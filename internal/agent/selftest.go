// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Problem is something that keeps the looker from seeing everything. What it does not see is
// Unknown, so a problem never makes anything pass.
type Problem struct {
	// Reason is a word for a condition.
	Reason string
	// Message says what is wrong and what to do about it. It is sanitised, and the same from look
	// to look.
	Message string
}

// Reasons of problems; refusal.go has those of being refused.
const (
	// ReasonNotNodePIDNamespace: /proc shows the processes of one container, not of the node.
	ReasonNotNodePIDNamespace = "NotNodePIDNamespace"
	// ReasonNamespacesUnknown: the node's own namespaces could not be established.
	ReasonNamespacesUnknown = "NodeNamespacesUnknown"
	// ReasonMountsUnread: the node's own mounts could not be read, so that nothing can be told of those
	// of containers.
	ReasonMountsUnread = "NodeMountsUnread"
)

// Problems are what the last look lacked; none if it could see everything.
func (l *Looker) Problems() []Problem { return l.problems }

// selfTest finds out what the look that was just taken lacked.
func (l *Looker) selfTest() []Problem {
	var problems []Problem
	if l.confined() {
		problems = append(problems, Problem{ReasonNotNodePIDNamespace,
			"/proc shows the processes of a container only, not those of the node: set hostPID: true"})
	}
	var axes []string
	var first error
	for _, a := range isolation.Axes {
		if err := l.node.Sets[a].Err; err != nil && !errors.Is(err, procns.ErrUnsupported) {
			axes = append(axes, a.String())
			if first == nil {
				first = err
			}
		}
	}
	if len(axes) > 0 {
		problems = append(problems, Problem{ReasonNamespacesUnknown,
			"everything is Unknown on " + strings.Join(axes, ", ") + ": " + isolation.Sanitize(first.Error(), 512)})
	}
	switch {
	case l.refusedAll && !l.readable:
		r := l.rights()
		problems = append(problems, r.refusal("the namespaces of other processes cannot be read"))
	case l.refusedInside:
		r := l.rights()
		problems = append(problems, r.refusal("the namespaces of some processes in containers cannot be read"))
	}
	return problems
}

// confined tells whether the tree shows a container and not a node: its first process is the
// reader, or is in the reader's own cgroup, which is a container's.
func (l *Looker) confined() bool {
	if l.self == 1 {
		return true
	}
	if !l.node.Nested {
		return false
	}
	own := l.cgroupsOf(l.self)
	if len(own) == 0 || !slices.Equal(own, l.cgroupsOf(1)) {
		return false
	}
	roots := 0
	for i := range own {
		if at, _ := parsePath(own[i].Path); !at.nobody() {
			return true
		}
		if own[i].Path == "/" {
			roots++
		}
	}
	return roots == len(own)
}
