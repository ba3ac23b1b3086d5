// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
)

// A difference is where Bulkhead decides otherwise than Pod Security, on purpose. The run fails if a
// listed one does not occur any more.
type difference struct {
	name, reason string
	// refuses tells which of the two refuses: Bulkhead, or else Pod Security.
	bulkheadRefuses bool
	applies         func(*question) bool
}

var differences = []*difference{{
	name: "an unmasked /proc in a user namespace",
	reason: "since v1.35 baseline lets pass any procMount with hostUsers: false. Bulkhead's portal forbids what is not " +
		"masked, whoever is root there. Who wants baseline's rule leaves procMount out: the API server itself refuses " +
		"an unmasked /proc without hostUsers: false",
	bulkheadRefuses: true,
	applies: func(q *question) bool {
		return q.level.Level == api.LevelBaseline && !q.level.Older(api.MajorMinorVersion(1, 35)) &&
			q.spec.HostUsers != nil && !*q.spec.HostUsers && anyContainer(q.spec, func(c *corev1.Container) bool {
			return c.SecurityContext != nil && c.SecurityContext.ProcMount != nil &&
				*c.SecurityContext.ProcMount == corev1.UnmaskedProcMount
		})
	},
}, {
	name: "a harmless capability in another spelling",
	reason: "Pod Security compares with its list by letter, so that chown and CAP_CHOWN are refused and CHOWN passes. " +
		"Bulkhead compares without case and CAP_, as runtimes do: all three are CHOWN, which is not forbidden",
	applies: func(q *question) bool {
		return anyContainer(q.spec, func(c *corev1.Container) bool {
			return c.SecurityContext != nil && c.SecurityContext.Capabilities != nil &&
				slices.ContainsFunc(c.SecurityContext.Capabilities.Add, func(name corev1.Capability) bool {
					bare := strings.TrimPrefix(strings.ToUpper(string(name)), "CAP_")
					return bare == "CHOWN" && bare != string(name)
				})
		})
	},
}}

func anyContainer(spec *corev1.PodSpec, is func(*corev1.Container) bool) bool {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if is(&list[i]) {
				return true
			}
		}
	}
	return false
}

// differenceOf is the difference that explains why the two do not agree; nil if none is listed.
func differenceOf(q *question, bulkheadRefuses bool) *difference {
	for _, d := range differences {
		if d.bulkheadRefuses == bulkheadRefuses && d.applies(q) {
			return d
		}
	}
	return nil
}
