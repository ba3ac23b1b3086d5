// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
User IDs of the node that two pods have. User namespaces separate pods from the node and from each other
only if each has numbers of its own: who is 65536 on the node may do in one pod's files and processes
what it may in the other's (KEP-127).

	uid_map
*/

// sharedIDs tells of the other pods that have user IDs of the node which this container has as well. Of two
// pods it is told of the one that came later.
func (c *Container) sharedIDs(others map[string]*inspected) []opening {
	if len(c.UserIDs) == 0 {
		return nil
	}
	first := &c.Processes[0]
	var pods []string
	for _, other := range others {
		if c.of(other.pod) || other.pod.UID == "" || other.start > first.StartTime ||
			!slices.ContainsFunc(c.UserIDs, func(r Range) bool { return slices.ContainsFunc(other.userIDs, r.meets) }) {
			continue
		}
		if name := other.pod.String(); !slices.Contains(pods, name) {
			pods = append(pods, name)
		}
	}
	if len(pods) == 0 {
		return nil
	}
	slices.Sort(pods)
	return []opening{{
		kind: v1alpha1.Foreign, axis: isolation.User, place: strings.Join(pods, " "), by: first,
		text:  "its user namespace has user IDs of the node that " + strings.Join(pods[:min(len(pods), maxTold)], ", ") + " has as well",
		check: "cat " + first.file("uid_map"),
	}}
}
