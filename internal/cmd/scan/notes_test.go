// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"strings"
	"testing"
)

func TestNotesNameTheRemedyThatHelps(t *testing.T) {
	of := func(reasons ...string) string {
		r := &result{}
		for _, reason := range reasons {
			r.Containers = append(r.Containers, container{Axes: map[string]axis{"network": {Level: "Unknown", Reason: reason}}})
		}
		return strings.Join(notesOn(&seen{}, r, reader{proc: "/proc"}), "\n")
	}
	const again, root = "what has just started is seen by another scan", "run the scan as root, with the capability SYS_PTRACE"
	for _, c := range []struct {
		reasons        []string
		has, otherwise string
	}{
		{[]string{startedMeanwhile, startedMeanwhile}, again, root},
		{[]string{startedMeanwhile, "permission denied"}, root, again},
		{[]string{"permission denied", startedMeanwhile}, root, again},
	} {
		if text := of(c.reasons...); !strings.Contains(text, c.has) || strings.Contains(text, c.otherwise) {
			t.Errorf("of %q:\n%s", c.reasons, text)
		}
	}
}
