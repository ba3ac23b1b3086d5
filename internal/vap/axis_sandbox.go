// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

// sandbox is the concern of an axis that a pod's containers share with their sandbox, and that one
// field of the pod gives up: asked in passing, and judged by condition. A debug container joins the sandbox as well.
func sandbox(axis, asked, condition, value, remedy string, level func(*v1alpha1.Isolation) v1alpha1.SandboxLevel) concern {
	return concern{
		name:   axis,
		group:  groupIsolation,
		judged: func(c *compiler) bool { return level(&c.isolation) == "Pod" },
		opens: func(e *v1alpha1.Exemption) bool {
			return e.Isolation != nil && level(e.Isolation) == "Host"
		},
		asks: func(*compiler) asks { return asks{pod: []string{asked}} },
		sentences: func(c *compiler) string {
			return when(c.runs()+" && "+condition,
				sentence(axis, value+" + ' and claims Host, Pod is required: ' + "+remedyOfPod(remedy), ""))
		},
	}
}
