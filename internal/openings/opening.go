// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// An opening is something that is open and that nobody asked for.
type opening struct {
	kind v1alpha1.FindingKind
	// portal by its name in policies, or what else it is called.
	portal string
	// axis is what a [v1alpha1.Foreign] is about.
	axis isolation.Axis
	// capabilities are those in excess.
	capabilities Capabilities
	// place identifies it among those of the same portal.
	place string
	// text is half a sentence without an end, sanitised.
	text string
	// by is the process that shows it. anybody is set if another process may confirm it: it was not
	// brought in by the runtime, whose own processes have such things open for a moment.
	by      *Process
	anybody bool
	// slow is set if a runtime has it open until the container is started, and not only for a moment.
	slow bool
	// check is a command that shows it on the node. It is made of numbers and names of files of /proc
	// only: a person pastes it into a shell.
	check string
}

// The names of openings that are no portal of a policy.
const (
	portalSeccomp         = "seccomp"
	portalNoNewPrivileges = "noNewPrivileges"
)

// ofMount is an opening by a mount of the container.
func (c *Container) ofMount(portal string, m *Mount, text string) opening {
	return opening{
		kind: v1alpha1.Portal, portal: portal, place: m.Point, text: text, by: &c.Processes[0],
		check: fmt.Sprintf("grep '^%d ' %s", m.ID, c.Processes[0].file("mountinfo")),
	}
}

// openings are all that the checks find, in their order. owners tells whose each mount is that is not
// the node's, as far as that is known.
func (i *Inspection) openings(c *Container, owners map[int]isolation.PodRef) []opening {
	if len(c.Processes) == 0 {
		return nil
	}
	var out []opening
	if c.Grant != nil {
		out = append(out, c.hostMounts(i.Node, i.Pods)...)
		if c.Chroot == "" {
			out = append(out, c.masks(i.Node, tableOf(c.Mounts))...)
		}
		out = append(out, c.privileges()...)
	}
	return append(out, i.Node.leaks(c, owners)...)
}

// shown is text of the kernel for a message.
func shown(text string) string { return isolation.Sanitize(text, 128) }
