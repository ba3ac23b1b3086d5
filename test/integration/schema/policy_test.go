// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var _ = DescribeTable("a policy is accepted",
	func(ctx context.Context, spec string) {
		Expect(create(ctx, policy("p", spec))).To(Succeed())
	},
	Entry("with one axis", spec("isolation: {pid: Pod}")),
	Entry("with one portal", spec("portals: {privileged: Forbid}")),
	Entry("with portals that allow nothing", spec("portals: {hostPaths: {}, hostPorts: {allow: []}}")),
	Entry("with empty selectors", spec("match: {namespaceSelector: {}, podSelector: {}}\nisolation: {pid: Pod}")),
	Entry("with an empty match", spec("match: {}\nisolation: {pid: Pod}")),
	Entry("that warns", "admission: {action: Warn}\nisolation: {pid: Pod}"),
	Entry("that audits", "admission: {action: Audit, engine: Webhook}\nisolation: {pid: Pod}"),
	Entry("that reports", spec("runtime: {action: Report}\nisolation: {pid: Pod}")),
	Entry("that evicts", spec("runtime: {action: Evict}\nisolation: {pid: Pod}")),

	Entry("that allows the whole tree", spec("portals: {hostPaths: {allow: [{pathPrefix: /}]}}")),
	Entry("that allows a path with dots within its names", spec("portals: {hostPaths: {allow: [{pathPrefix: /a/..b/.c/d./...}]}}")),
	Entry("that allows a path of 1024 characters", spec("portals: {hostPaths: {allow: [{pathPrefix: /"+long(1023)+"}]}}")),
	Entry("that allows 64 paths", spec("portals: {hostPaths: {allow: "+repeated(64, "{pathPrefix: /a, readOnly: true}")+"}}")),
	Entry("that allows one port", spec("portals: {hostPorts: {allow: [{from: 80, to: 80}]}}")),
	Entry("that allows all ports", spec("portals: {hostPorts: {allow: [{from: 1, to: 65535}]}}")),
	Entry("that allows 64 ranges of ports", spec("portals: {hostPorts: {allow: "+repeated(64, "{from: 1, to: 2}")+"}}")),

	Entry("with an exemption", exempting()),
	Entry("with an exemption for debug containers", exempting("ephemeralContainers: true")),
	Entry("with an exemption that ends", exempting(`expires: "2027-03-31T00:00:00Z"`)),
	Entry("with an exemption from portals", exempting("isolation: null", "portals: {privileged: Allow, hostPaths: {allow: [{pathPrefix: /}]}, hostPorts: {allow: [{from: 9100, to: 9100}]}}")),
	Entry("with an exemption whose name has 63 characters", exempting("name: "+long(63))),
	Entry("with an exemption whose reason has 1024 characters", exempting("reason: "+long(1024))),
	Entry("with an exemption for 64 namespaces", exempting("namespaces: "+repeated(64, "n%d"))),
	Entry("with an exemption for a namespace of 63 characters", exempting("namespaces: ["+long(63)+"]")),
	Entry("with an exemption for 64 service accounts", exempting("serviceAccounts: "+repeated(64, "s%d"))),
	Entry("with an exemption for a service account of 253 characters", exempting("serviceAccounts: ["+long(253)+"]")),
	Entry("with 64 exemptions", spec("isolation: {pid: Pod}\nexemptions: "+
		repeated(64, "{name: e%d, reason: r, namespaces: [team], isolation: {pid: Host}}"))),
)

var _ = DescribeTable("a policy is refused",
	func(ctx context.Context, spec, message string) {
		err := create(ctx, policy("p", spec))
		Expect(err).To(MatchError(ContainSubstring(message)))
		Expect(apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)).To(BeTrue(), err.Error())
	},
	Entry("with an empty spec", "{}", "spec.admission: Required value"),
	Entry("that demands nothing", spec(""), "the policy demands nothing: set at least one axis in isolation or one portal in portals"),
	Entry("that demands of no axis", spec("isolation: {}"), "spec.isolation: Invalid value"),
	Entry("that judges no portal", spec("portals: {}"), "spec.portals: Invalid value"),
	Entry("that demands of the time namespace", spec("isolation: {pid: Pod, time: Container}"), `unknown field "spec.isolation.time"`),
	Entry("with a misspelt field", spec("isolation: {pid: Pod}\nexceptions: []"), `unknown field "spec.exceptions"`),
	Entry("without an action", "admission: {}\nisolation: {pid: Pod}", "spec.admission.action: Required value"),
	Entry("with an unknown action", "admission: {action: Block}\nisolation: {pid: Pod}", `supported values: "Deny", "Warn", "Audit"`),
	Entry("with an unknown engine", "admission: {action: Deny, engine: OPA}\nisolation: {pid: Pod}", "spec.admission.engine: Unsupported value"),
	Entry("with an unknown action at run time", spec("isolation: {pid: Pod}\nruntime: {action: Kill}"), "spec.runtime.action: Unsupported value"),
	Entry("with a switch that is no Forbid", spec("portals: {privileged: Allow}"), `supported values: "Forbid"`),

	Entry("that allows a relative path", spec("portals: {hostPaths: {allow: [{pathPrefix: var/log}]}}"), "pathPrefix must be an absolute path, such as /var/log"),
	Entry("that allows an empty path", spec(`portals: {hostPaths: {allow: [{pathPrefix: ""}]}}`), "spec.portals.hostPaths.allow[0].pathPrefix: Invalid value"),
	Entry("that allows a path that climbs", spec("portals: {hostPaths: {allow: [{pathPrefix: /var/../etc}]}}"), "pathPrefix must be a clean path: no '.', '..' or empty elements, and no slash at its end"),
	Entry("that allows a path that ends by climbing", spec("portals: {hostPaths: {allow: [{pathPrefix: /var/..}]}}"), "pathPrefix must be a clean path"),
	Entry("that allows a path with a dot", spec("portals: {hostPaths: {allow: [{pathPrefix: /var/./log}]}}"), "pathPrefix must be a clean path"),
	Entry("that allows a path with an empty element", spec("portals: {hostPaths: {allow: [{pathPrefix: /var//log}]}}"), "pathPrefix must be a clean path"),
	Entry("that allows a path with a slash at its end", spec("portals: {hostPaths: {allow: [{pathPrefix: /var/}]}}"), "pathPrefix must be a clean path"),
	Entry("that allows two slashes", spec("portals: {hostPaths: {allow: [{pathPrefix: //}]}}"), "pathPrefix must be a clean path"),
	Entry("that allows a path of 1025 characters", spec("portals: {hostPaths: {allow: [{pathPrefix: /"+long(1024)+"}]}}"), "may not be more than 1024"),
	Entry("that allows 65 paths", spec("portals: {hostPaths: {allow: "+repeated(65, "{pathPrefix: /a}")+"}}"), "must have at most 64 items"),
	Entry("that allows port 0", spec("portals: {hostPorts: {allow: [{from: 0, to: 80}]}}"), "should be greater than or equal to 1"),
	Entry("that allows port 65536", spec("portals: {hostPorts: {allow: [{from: 1, to: 65536}]}}"), "should be less than or equal to 65535"),
	Entry("that allows a range that ends before it begins", spec("portals: {hostPorts: {allow: [{from: 81, to: 80}]}}"), "from must not be greater than to"),
	Entry("that allows a range without an end", spec("portals: {hostPorts: {allow: [{from: 81}]}}"), "spec.portals.hostPorts.allow[0].to: Required value"),
	Entry("that allows 65 ranges of ports", spec("portals: {hostPorts: {allow: "+repeated(65, "{from: 1, to: 2}")+"}}"), "must have at most 64 items"),

	Entry("with an exemption that opens nothing", exempting("isolation: null"), "the exemption opens nothing: name the axes in isolation or the portals in portals that it opens"),
	Entry("with an exemption that opens no axis", exempting("isolation: {}"), "spec.exemptions[0].isolation: Invalid value"),
	Entry("with an exemption that opens no portal", exempting("portals: {}"), "spec.exemptions[0].portals: Invalid value"),
	Entry("with an exemption that forbids", exempting("portals: {privileged: Forbid}"), `supported values: "Allow"`),
	Entry("with an exemption without a name", exempting(`name: ""`), "spec.exemptions[0].name: Invalid value"),
	Entry("with an exemption whose name has 64 characters", exempting("name: "+long(64)), "may not be more than 63"),
	Entry("with an exemption whose name is no label", exempting("name: Node_Exporter"), "should match"),
	Entry("with an exemption without a reason", exempting(`reason: ""`), "spec.exemptions[0].reason: Invalid value"),
	Entry("with an exemption whose reason has 1025 characters", exempting("reason: "+long(1025)), "may not be more than 1024"),
	Entry("with an exemption for no namespace", exempting("namespaces: []"), "should have at least 1 items"),
	Entry("with an exemption for a namespace twice", exempting("namespaces: [a, a]"), "Duplicate value"),
	Entry("with an exemption for 65 namespaces", exempting("namespaces: "+repeated(65, "n%d")), "must have at most 64 items"),
	Entry("with an exemption for a namespace of 64 characters", exempting("namespaces: ["+long(64)+"]"), "may not be more than 63"),
	Entry("with an exemption for a pattern of namespaces", exempting(`namespaces: ["team-*"]`), "should match"),
	Entry("with an exemption for an empty namespace", exempting(`namespaces: [""]`), "should match"),
	Entry("with an exemption for 65 service accounts", exempting("serviceAccounts: "+repeated(65, "s%d")), "must have at most 64 items"),
	Entry("with an exemption for a service account of 254 characters", exempting("serviceAccounts: ["+long(254)+"]"), "may not be more than 253"),
	Entry("with an exemption for an empty service account", exempting(`serviceAccounts: [""]`), "should be at least 1 chars long"),
	Entry("with an exemption that ends at no time", exempting("expires: tomorrow"), "must be of type date-time"),
	Entry("with an exemption whose path is not clean", exempting("portals: {hostPaths: {allow: [{pathPrefix: /a/..}]}}"), "pathPrefix must be a clean path"),
	Entry("with two exemptions of one name", spec("isolation: {pid: Pod}\nexemptions: "+
		repeated(2, "{name: e, reason: r, namespaces: [team], isolation: {pid: Host}}")), "Duplicate value"),
	Entry("with 65 exemptions", spec("isolation: {pid: Pod}\nexemptions: "+
		repeated(65, "{name: e%d, reason: r, namespaces: [team], isolation: {pid: Host}}")), "must have at most 64 items"),
)

var _ = DescribeTable("a portal that is a switch can be forbidden, and opened by an exemption, and nothing else",
	func(ctx context.Context, portal string) {
		Expect(create(ctx, policy("p", spec("portals: {"+portal+": Forbid}")))).To(Succeed())
		Expect(create(ctx, policy("e", exempting("portals: {"+portal+": Allow}")))).To(Succeed())
		Expect(create(ctx, policy("q", spec("portals: {"+portal+": Allow}")))).To(MatchError(ContainSubstring("portals." + portal + ": Unsupported value")))
		Expect(create(ctx, policy("q", exempting("portals: {"+portal+": Forbid}")))).To(MatchError(ContainSubstring("portals." + portal + ": Unsupported value")))
	},
	Entry("privileged", "privileged"),
	Entry("procMount", "procMount"),
	Entry("mountPropagation", "mountPropagation"),
	Entry("devices", "devices"),
	Entry("runtimeSockets", "runtimeSockets"),
	Entry("windowsHostProcess", "windowsHostProcess"),
	Entry("hostProbes", "hostProbes"),
)

var _ = DescribeTable("capabilities", func(ctx context.Context, spec, message string) {
	err := create(ctx, policy("p", spec))
	if message == "" {
		Expect(err).NotTo(HaveOccurred())
		return
	}
	Expect(err).To(MatchError(ContainSubstring(message)))
},
	Entry("have names of any case, with and without CAP_", spec("portals: {capabilities: {forbid: [SYS_ADMIN, cap_bpf, ALL]}}"), ""),
	Entry("can be opened", exempting("portals: {capabilities: {allow: [SYS_ADMIN]}}"), ""),
	Entry("are named by letters, digits and _", spec("portals: {capabilities: {forbid: [SYS-ADMIN]}}"), "a capability is a name such as SYS_ADMIN, or ALL"),
	Entry("must be named", spec("portals: {capabilities: {}}"), "forbid: Required value"),
	Entry("must be at least one", spec("portals: {capabilities: {forbid: []}}"), "should have at least 1 items"),
	Entry("must be at least one to open", exempting("portals: {capabilities: {allow: []}}"), "should have at least 1 items"),
	Entry("are at most 64", spec("portals: {capabilities: {forbid: "+repeated(65, "C%d")+"}}"), "must have at most 64 items"),
)

var _ = Describe("an axis", func() {
	demandable := map[string][]string{
		"pid":     {"Host", "Pod", "Container"},
		"network": {"Host", "Pod"},
		"ipc":     {"Host", "Pod"},
		"uts":     {"Host", "Pod"},
		"mount":   {"Host", "Container"},
		"user":    {"Host", "Pod"},
		"cgroup":  {"Host", "Container"},
	}
	for axis, levels := range demandable {
		for _, level := range []string{"Host", "Foreign", "Pod", "Container", "Unknown", "NotApplicable", "", "pod"} {
			accepted := false
			for _, l := range levels {
				accepted = accepted || l == level
			}
			demanded := "isolation: {" + axis + `: "` + level + `"}`
			exempt := "isolation: {" + axis + ": Host}\nexemptions: [{name: e, reason: r, namespaces: [team], " + demanded + "}]"
			for place, fields := range map[string]string{"a policy": demanded, "an exemption": exempt} {
				if accepted {
					It(axis+" can be demanded as "+level+" in "+place, func(ctx context.Context) {
						Expect(create(ctx, policy("p", spec(fields)))).To(Succeed())
					})
					continue
				}
				It(axis+` cannot be demanded as "`+level+`" in `+place, func(ctx context.Context) {
					Expect(create(ctx, policy("p", spec(fields)))).To(MatchError(ContainSubstring("isolation." + axis + ": Unsupported value")))
				})
			}
		}
	}
})

var _ = Describe("a policy", func() {
	It("may have a name of 63 characters, and no more", func(ctx context.Context) {
		Expect(create(ctx, policy(long(63), spec("isolation: {pid: Pod}")))).To(Succeed())
		Expect(create(ctx, policy(long(64), spec("isolation: {pid: Pod}")))).
			To(MatchError(ContainSubstring("the name of an IsolationPolicy may have at most 63 characters")))
	})

	It("must have a spec", func(ctx context.Context) {
		o := policy("p", "{}")
		delete(o.Object, "spec")
		Expect(create(ctx, o)).To(MatchError(ContainSubstring("spec: Required value")))
	})

	It("is carried out by the webhook and reports at run time unless it says otherwise", func(ctx context.Context) {
		for _, runtime := range []string{"", "runtime: {}\n", "runtime: null\n"} {
			o := policy("p", spec(runtime+"isolation: {pid: Pod}"))
			Expect(create(ctx, o)).To(Succeed())
			Expect(nested(o, "spec", "admission", "engine")).To(Equal("Webhook"))
			Expect(nested(o, "spec", "runtime", "action")).To(Equal("Report"))
		}
	})

	It("may be carried out by the API server itself", func(ctx context.Context) {
		Expect(create(ctx, policy("p", "admission: {action: Deny, engine: ValidatingAdmissionPolicy}\nisolation: {pid: Pod}"))).To(Succeed())
		Expect(create(ctx, policy("q", "admission: {action: Deny, engine: CEL}\nisolation: {pid: Pod}"))).To(MatchError(ContainSubstring("Unsupported value")))
	})

	It("may be as large as etcd can hold without exhausting the budget of the rules", func(ctx context.Context) {
		paths := repeated(64, "{pathPrefix: /"+long(1000)+"}")
		o := policy("large", spec("isolation: {pid: Pod}\nexemptions: "+repeated(16,
			"{name: e%d, reason: r, namespaces: [team], portals: {hostPaths: {allow: "+paths+"}}}")))
		Expect(create(ctx, o)).To(Succeed())
	})
})

func nested(o *unstructured.Unstructured, fields ...string) string {
	GinkgoHelper()
	value, _, err := unstructured.NestedString(o.Object, fields...)
	Expect(err).NotTo(HaveOccurred())
	return value
}
