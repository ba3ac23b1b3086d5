// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// sightOf is a pod that was seen with these levels, looked at closely, and what the report says of it.
func sightOf(v isolation.Vector, findings ...v1alpha1.NodeFinding) isolation.Sight {
	return isolation.Sight{Levels: v, Inspected: true, Findings: findings}
}

func nodeFinding(kind v1alpha1.FindingKind, a isolation.Axis, l isolation.Level, message string) v1alpha1.NodeFinding {
	return v1alpha1.NodeFinding{Kind: kind, Axis: a.API(), Observed: l.API(), Message: message}
}

// inShort is a finding without its message: kind, and axis or portal.
func inShort(findings []v1alpha1.PolicyFinding) []string {
	var all []string
	for i := range findings {
		f := &findings[i]
		all = append(all, strings.TrimSpace(string(f.Kind)+" "+string(f.Axis)+f.Portal))
	}
	return all
}

func TestAssess(t *testing.T) {
	const isolated = "isolation: {pid: Container, network: Pod, mount: Container}\n"
	exempting := func(what string) string {
		return isolated + "portals: {hostPaths: {}}\nexemptions: [{name: e, reason: r, namespaces: [shop], " + what + "}]"
	}
	hostPID := but(clean, isolation.PID, isolation.Host)
	hostNetwork := but(clean, isolation.Network, isolation.Host)
	const path = "\nvolumes: [{name: v, hostPath: {path: /etc}}]"

	for name, c := range map[string]struct {
		policy, pod string
		sight       isolation.Sight
		class       isolation.Class
		verified    bool
		findings    []string
	}{
		"a pod that is not matched": {
			"match: {namespaceSelector: {matchLabels: {tenancy: own}}}\n" + isolated, "hostPID: true", sightOf(hostPID),
			isolation.Unmatched, false, nil,
		},
		"a pod that asks for what is required and has it": {isolated, "", sightOf(clean), isolation.Compliant, true, nil},
		"a pod that has more than is required": {
			"isolation: {pid: Host, network: Host}", "hostPID: true", sightOf(clean), isolation.Compliant, true, nil,
		},
		"a pod that has less than is required": {isolated, "", sightOf(hostPID), isolation.Breached, false, []string{"Breach pid"}},
		"a pod in another's namespace": {
			isolated, "", sightOf(but(clean, isolation.Network, isolation.Foreign)), isolation.Breached, false, []string{"Breach network"},
		},
		"a pod that asks for less": {
			isolated, "shareProcessNamespace: true", sightOf(but(clean, isolation.PID, isolation.Pod)),
			isolation.Breached, false, []string{"Breach pid"},
		},
		"a pod that asks for less and has what is required": {
			isolated, "hostPID: true", sightOf(clean), isolation.Violating, true, []string{"Violation pid"},
		},
		"a pod that asks for less and has still less": {
			isolated, "shareProcessNamespace: true", sightOf(hostPID), isolation.Breached, false, []string{"Breach pid", "Violation pid"},
		},
		"a pod with a forbidden portal": {
			isolated + "portals: {hostPaths: {}}", path, sightOf(clean), isolation.Violating, true, []string{"Violation hostPaths"},
		},
		"a pod with a forbidden portal and less than is required": {
			isolated + "portals: {hostPaths: {}}", path, sightOf(hostPID), isolation.Breached, false, []string{"Breach pid", "Violation hostPaths"},
		},
		"a pod that escaped": {
			isolated, "", sightOf(hostPID, nodeFinding(v1alpha1.Escape, isolation.PID, isolation.Host, "m")),
			isolation.Breached, false, []string{"Escape pid"},
		},
		"a pod that escaped where nothing is demanded": {
			isolated, "", sightOf(but(clean, isolation.IPC, isolation.Host), nodeFinding(v1alpha1.Escape, isolation.IPC, isolation.Host, "m")),
			isolation.Compliant, true, nil,
		},
		"a pod that escaped as far as the spec may ask for": {
			isolated, "shareProcessNamespace: true",
			sightOf(but(clean, isolation.PID, isolation.Pod), nodeFinding(v1alpha1.Escape, isolation.PID, isolation.Pod, "m")),
			isolation.Breached, false, []string{"Escape pid", "Violation pid"},
		},
		"two breaches": {
			isolated, "hostNetwork: true", sightOf(but(hostPID, isolation.Network, isolation.Host),
				nodeFinding(v1alpha1.Drift, isolation.PID, isolation.Host, "m")),
			isolation.Breached, false, []string{"Drift pid", "Breach network"},
		},
		"a pod that nobody has seen": {
			isolated, "", isolation.Sight{Levels: clean, Unseen: "no report"}, isolation.Unverified, false, []string{"Unverified"},
		},
		"a pod that nobody has seen, by portals alone": {
			"portals: {privileged: Forbid}", "", isolation.Sight{Unseen: "no report"}, isolation.Unverified, false, []string{"Unverified"},
		},
		"a pod that asks for less and that nobody has seen": {
			isolated, "hostPID: true", isolation.Sight{Levels: hostPID, Unseen: "no report"}, isolation.Violating, false, []string{"Violation pid", "Unverified"},
		},
		"a pod that was not readable": {
			isolated, "", sightOf(isolation.Fill(isolation.Unknown)), isolation.Unverified, false, []string{"Unverified pid"},
		},
		"a pod that was not readable where nothing is demanded": {
			isolated, "", sightOf(but(clean, isolation.UTS, isolation.Unknown)), isolation.Compliant, true, nil,
		},
		"a pod in a virtual machine": {
			isolated, "", sightOf(isolation.Fill(isolation.NotApplicable)), isolation.Unverified, false, []string{"Unverified pid"},
		},
		"a pod of which a report says nothing at all": {
			isolated, "", isolation.Sight{}, isolation.Unverified, false, []string{"Unverified pid"},
		},
		"a breach beside what was not readable": {
			isolated, "", sightOf(but(hostPID, isolation.Mount, isolation.Unknown)), isolation.Breached, false, []string{"Breach pid", "Unverified mount"},
		},
		"an exemption for what the pod asks for": {
			exempting("isolation: {pid: Host}"), "hostPID: true", sightOf(hostPID), isolation.Exempt, true, nil,
		},
		"an exemption for a portal": {
			exempting("portals: {hostPaths: {allow: [{pathPrefix: /}]}}"), path, sightOf(clean), isolation.Exempt, true, nil,
		},
		"an exemption for what the pod was seen with": {
			exempting("isolation: {pid: Host}"), "", sightOf(hostPID), isolation.Exempt, true, nil,
		},
		"an exemption that the pod does not need": {
			exempting("isolation: {pid: Host}"), "", sightOf(clean), isolation.Compliant, true, nil,
		},
		"an exemption for a pod that nobody has seen": {
			exempting("isolation: {pid: Host}"), "hostPID: true", isolation.Sight{Unseen: "no report"}, isolation.Exempt, false, []string{"Unverified"},
		},
		"an exemption that the pod does not need, unseen": {
			exempting("isolation: {pid: Host}"), "", isolation.Sight{Levels: hostPID, Unseen: "no report"}, isolation.Unverified, false, []string{"Unverified"},
		},
		"an exemption that opens only a part": {
			exempting("isolation: {pid: Host}"), "hostPID: true" + path, sightOf(hostPID), isolation.Violating, true, []string{"Violation hostPaths"},
		},
		"an exemption, and less than it opens": {
			exempting("isolation: {pid: Host}"), "hostPID: true", sightOf(but(hostPID, isolation.Network, isolation.Host)),
			isolation.Breached, false, []string{"Breach network"},
		},
		"an exemption that does not go far enough": {
			exempting("isolation: {pid: Pod}"), "", sightOf(hostPID), isolation.Breached, false, []string{"Breach pid"},
		},
		"an exemption, and what was not readable": {
			exempting("isolation: {network: Host}"), "", sightOf(but(hostNetwork, isolation.PID, isolation.Unknown)),
			isolation.Exempt, false, []string{"Unverified pid"},
		},
		"an exemption that is over": {
			exempting(`isolation: {pid: Host}, expires: "2026-01-01T00:00:00Z"`), "hostPID: true", sightOf(hostPID),
			isolation.Breached, false, []string{"Breach pid"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := policy(t, c.policy).Assess(subject(t, c.pod), c.sight)
			if a.Class != c.class || a.Verified != c.verified {
				t.Errorf("class %d, verified %v; want %d, %v", a.Class, a.Verified, c.class, c.verified)
			}
			if got := inShort(a.Findings); !slices.Equal(got, c.findings) {
				t.Errorf("findings %q, want %q", got, c.findings)
			}
		})
	}
}

func TestAssessmentsNameTheExemptionsThatThePodNeeds(t *testing.T) {
	const three = "isolation: {pid: Container, network: Pod}\nportals: {hostPaths: {}}\nexemptions:\n" +
		"- {name: network, reason: r, namespaces: [shop], isolation: {network: Host}}\n" +
		"- {name: pid, reason: r, namespaces: [shop], isolation: {pid: Host}}\n" +
		"- {name: paths, reason: r, namespaces: [shop], portals: {hostPaths: {allow: [{pathPrefix: /etc}]}}}\n" +
		"- {name: elsewhere, reason: r, namespaces: [lab], isolation: {pid: Host}}\n"
	hostPID := but(clean, isolation.PID, isolation.Host)
	for name, c := range map[string]struct {
		pod   string
		sight isolation.Sight
		want  []string
	}{
		"none":                            {"", sightOf(clean), nil},
		"for what it asks for":            {"hostPID: true", sightOf(clean), []string{"pid"}},
		"for what it was seen with":       {"", sightOf(hostPID), []string{"pid"}},
		"for both, once":                  {"hostPID: true", sightOf(hostPID), []string{"pid"}},
		"in the order of the policy":      {"volumes: [{name: v, hostPath: {path: /etc}}]", sightOf(but(hostPID, isolation.Network, isolation.Host)), []string{"network", "pid", "paths"}},
		"not for what was not seen":       {"", isolation.Sight{Levels: hostPID, Unseen: "no report"}, nil},
		"also for what is in doubt":       {"", isolation.Sight{Levels: hostPID, Doubt: "degraded"}, []string{"pid"}},
		"also if something else is wrong": {"hostPID: true\nvolumes: [{name: v, hostPath: {path: /usr}}]", sightOf(clean), []string{"pid"}},
	} {
		t.Run(name, func(t *testing.T) {
			if a := policy(t, three).Assess(subject(t, c.pod), c.sight); !slices.Equal(a.Exempt, c.want) {
				t.Errorf("exempt by %q, want %q", a.Exempt, c.want)
			}
		})
	}
}

func TestInDoubtWhatIsWrongCountsAndWhatIsRightDoesNot(t *testing.T) {
	const isolated = "isolation: {pid: Container, network: Pod}\n"
	doubted := func(v isolation.Vector) isolation.Sight { return isolation.Sight{Levels: v, Doubt: "degraded"} }
	disputed := func(v isolation.Vector) isolation.Sight {
		return sightOf(v, v1alpha1.NodeFinding{Kind: v1alpha1.Unverified, Message: "cgroup hierarchies name different pods"})
	}
	for name, c := range map[string]struct {
		policy, pod string
		sight       isolation.Sight
		class       isolation.Class
		findings    []string
	}{
		"nothing is wrong":           {isolated, "", doubted(clean), isolation.Unverified, []string{"Unverified"}},
		"a breach":                   {isolated, "", doubted(but(clean, isolation.PID, isolation.Host)), isolation.Breached, []string{"Breach pid", "Unverified"}},
		"a violation":                {isolated, "hostPID: true", doubted(clean), isolation.Violating, []string{"Violation pid", "Unverified"}},
		"what was not readable":      {isolated, "", doubted(isolation.Fill(isolation.Unknown)), isolation.Unverified, []string{"Unverified"}},
		"no level is demanded":       {"portals: {privileged: Forbid}", "", doubted(clean), isolation.Unverified, []string{"Unverified"}},
		"whose a process is":         {isolated, "", disputed(clean), isolation.Unverified, []string{"Unverified"}},
		"whose one is, and a breach": {isolated, "", disputed(but(clean, isolation.PID, isolation.Host)), isolation.Breached, []string{"Breach pid", "Unverified"}},
		"whose one is, and portals alone are demanded": {"portals: {privileged: Forbid}", "", disputed(clean), isolation.Unverified, []string{"Unverified"}},
		"nothing wrong is demanded":                    {isolated, "", doubted(but(clean, isolation.IPC, isolation.Host)), isolation.Unverified, []string{"Unverified"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := policy(t, c.policy).Assess(subject(t, c.pod), c.sight)
			if a.Class != c.class || a.Verified {
				t.Errorf("class %d, verified %v; want %d, false", a.Class, a.Verified, c.class)
			}
			if got := inShort(a.Findings); !slices.Equal(got, c.findings) {
				t.Errorf("findings %q, want %q", got, c.findings)
			}
		})
	}
}

func TestAssessmentsSayWhy(t *testing.T) {
	const isolated = "isolation: {pid: Container, network: Pod}\n"
	hostPID := but(clean, isolation.PID, isolation.Host)
	for name, c := range map[string]struct {
		pod   string
		sight isolation.Sight
		want  string
	}{
		"a breach": {"", sightOf(hostPID), "pid was observed as Host, Container is required"},
		"a breach that the spec asks for": {"hostPID: true", sightOf(hostPID),
			"pid was observed as Host, Container is required; the spec asks for it: spec.hostPID is true and claims Host, Container is required: remove it or set it to false"},
		"an escape, whatever the order of the report": {"", sightOf(hostPID,
			nodeFinding(v1alpha1.Unverified, isolation.PID, isolation.Host, "unverified"),
			nodeFinding(v1alpha1.Drift, isolation.PID, isolation.Host, "drift"),
			nodeFinding(v1alpha1.Escape, isolation.Mount, isolation.Host, "mount"),
			nodeFinding(v1alpha1.Escape, isolation.PID, isolation.Pod, "pod"),
			nodeFinding(v1alpha1.Escape, isolation.PID, isolation.Host, "escape\x1b[2J"),
		), `pid was observed as Host, Container is required: escape\x1b[2J`},
		"what was not readable": {"", sightOf(isolation.Fill(isolation.Unknown),
			nodeFinding(v1alpha1.Unverified, isolation.PID, isolation.Unknown, "permission\ndenied")),
			`pid is Unknown, Container is required: permission\ndenied`},
		"what was not readable on all axes": {"", sightOf(isolation.Fill(isolation.Unknown),
			v1alpha1.NodeFinding{Kind: v1alpha1.Unverified, Message: "everything"}), "pid is Unknown, Container is required: everything"},
		"what was not readable for no known reason": {"", sightOf(isolation.Vector{}), "pid is Unknown, Container is required"},
		"what the kernel does not show":             {"", sightOf(isolation.Fill(isolation.NotApplicable)), "pid is NotApplicable, Container is required"},
		"what nobody saw":                           {"", isolation.Sight{Unseen: "no\nreport"}, `no\nreport`},
	} {
		t.Run(name, func(t *testing.T) {
			a := policy(t, isolated).Assess(subject(t, c.pod), c.sight)
			if len(a.Findings) != 1 || a.Findings[0].Message != c.want {
				t.Errorf("findings %+v, want %q", a.Findings, c.want)
			}
		})
	}
}

func TestMessagesOfAssessmentsAreBounded(t *testing.T) {
	long := strings.Repeat("\x1b", 4096)
	hostPID := but(clean, isolation.PID, isolation.Host)
	spec := "hostPID: true\nshareProcessNamespace: true\nvolumes: [{name: v, hostPath: {path: /" + strings.Repeat("a", 4096) + "}}]"
	p := policy(t, "isolation: {pid: Container}\nportals: {hostPaths: {}}")
	for _, sight := range []isolation.Sight{
		sightOf(hostPID, nodeFinding(v1alpha1.Escape, isolation.PID, isolation.Host, long)),
		sightOf(hostPID),
		sightOf(isolation.Vector{}, nodeFinding(v1alpha1.Unverified, isolation.PID, isolation.Unknown, long)),
		{Unseen: long},
	} {
		for _, f := range p.Assess(subject(t, spec), sight).Findings {
			if len(f.Message) > 1024 {
				t.Errorf("%s: %d bytes", f.Kind, len(f.Message))
			}
		}
	}
}

func TestBreachesRegardNeitherMatchNorExemptions(t *testing.T) {
	p := policy(t, "match: {podSelector: {matchLabels: {a: b}}}\nisolation: {pid: Container, network: Pod, user: Pod}\n"+
		"exemptions: [{name: e, reason: r, namespaces: [shop], isolation: {pid: Host}}]")
	levels := but(but(clean, isolation.PID, isolation.Host), isolation.Network, isolation.Unknown)
	if got := inShort(p.Breaches(levels)); !slices.Equal(got, []string{"Breach pid", "Breach user"}) {
		t.Errorf("breaches %q", got)
	}
	if got := p.Breaches(isolation.Fill(isolation.Container)); got != nil {
		t.Errorf("breaches %v", got)
	}
}

func TestWhatWasFoundOpenBreachesPoliciesThatForbidIt(t *testing.T) {
	sight := isolation.Sight{Levels: isolation.Fill(isolation.Container), Inspected: true, Findings: []v1alpha1.NodeFinding{
		{Kind: v1alpha1.Portal, Portal: "runtimeSockets", Message: "a socket\n"},
		{Kind: v1alpha1.Portal, Portal: "seccomp", Message: "no filter"},
		{Kind: v1alpha1.Portal, Portal: "", Message: "nothing"},
		{Kind: v1alpha1.Leak, Message: "cwd"},
		{Kind: v1alpha1.Escape, Message: "process 7 has left its cgroup"},
	}}
	for spec, want := range map[string][]string{
		"portals: {privileged: Forbid}\nisolation: {pid: Container}": nil,
		"portals: {runtimeSockets: Forbid}":                          {`Portal runtimeSockets: runtimeSockets was found open, which is not allowed: a socket\n`},
		"isolation: {mount: Container}":                              {"Leak mount: the container reaches out of its mount namespace, Container is required: cwd"},
		"isolation: {mount: Host}":                                   nil,
		"isolation: {cgroup: Container}":                             {"Escape cgroup: Container is required: process 7 has left its cgroup"},
		"isolation: {cgroup: Host}":                                  nil,
		"isolation: {cgroup: Container}\nexemptions: [{name: e, reason: r, namespaces: [shop], isolation: {cgroup: Host}}]":           nil,
		"portals: {runtimeSockets: Forbid}\nexemptions: [{name: e, reason: r, namespaces: [shop], portals: {runtimeSockets: Allow}}]": nil,
	} {
		t.Run(spec, func(t *testing.T) {
			a := policy(t, spec).Assess(subject(t, ""), sight)
			var got []string
			for _, f := range a.Findings {
				got = append(got, string(f.Kind)+" "+string(f.Axis)+f.Portal+": "+f.Message)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if breached := a.Class == isolation.Breached; breached != (want != nil) || a.Verified == breached {
				t.Errorf("class %d, verified %t", a.Class, a.Verified)
			}
		})
	}
}

func TestWhatCouldNotBeLookedAtCloselyIsNotVerified(t *testing.T) {
	sight := isolation.Sight{Levels: isolation.Fill(isolation.Container), Inspected: true, Findings: []v1alpha1.NodeFinding{
		{Kind: v1alpha1.Unverified, Portal: isolation.PortalMounts, Message: "too many"},
	}}
	for spec, verified := range map[string]bool{
		"isolation: {pid: Container}":                           true,
		"isolation: {mount: Container}":                         false,
		"portals: {hostPaths: {}}\nisolation: {pid: Container}": false,
	} {
		a := policy(t, spec).Assess(subject(t, ""), sight)
		if a.Verified != verified || (a.Class == isolation.Unverified) == verified {
			t.Errorf("%s: verified %t, class %d", spec, a.Verified, a.Class)
		}
	}
}

func TestWhatWasNotLookedAtCloselyYetIsNotVerified(t *testing.T) {
	exempt := "\nexemptions: [{name: e, reason: r, namespaces: [shop], isolation: {mount: Host}}]"
	for spec, verified := range map[string]bool{
		"isolation: {pid: Container}":                         true,
		"isolation: {mount: Host}":                            true,
		"isolation: {mount: Container}":                       false,
		"isolation: {mount: Container}" + exempt:              true,
		"portals: {capabilities: {forbid: [SYS_ADMIN]}}":      false,
		"portals: {hostPaths: {}}\nisolation: {network: Pod}": false,
	} {
		for _, sight := range []isolation.Sight{sightOf(clean), {Levels: clean}} {
			a := policy(t, spec).Assess(subject(t, ""), sight)
			if want := verified || sight.Inspected; a.Verified != want || (a.Class == isolation.Unverified) == want {
				t.Errorf("%s, looked at closely %t: verified %t, class %d", spec, sight.Inspected, a.Verified, a.Class)
			}
		}
	}
	escaped := isolation.Sight{Levels: but(clean, isolation.PID, isolation.Host)}
	if a := policy(t, "isolation: {pid: Container, mount: Container}").Assess(subject(t, ""), escaped); a.Class != isolation.Breached {
		t.Errorf("a breach is one without a close look, too: class %d", a.Class)
	}
}

func TestOnlyCapabilitiesThatAPolicyForbidsBreachIt(t *testing.T) {
	named := v1alpha1.NodeFinding{
		Kind: v1alpha1.Portal, Portal: "capabilities", Capabilities: []v1alpha1.Capability{"NET_ADMIN", "CAP_bpf"},
		Message: "SYS_TIME is only talked of",
	}
	unnamed := named
	unnamed.Capabilities = nil
	for forbidden, breached := range map[string]bool{"SYS_ADMIN": false, "NET": false, "SYS_TIME": false, "BPF": true, "cap_net_admin": true, "ALL": true} {
		p := policy(t, "portals: {capabilities: {forbid: ["+forbidden+"]}}")
		if a := p.Assess(subject(t, ""), sightOf(clean, named)); (a.Class == isolation.Breached) != breached || a.Verified == breached {
			t.Errorf("%s forbidden: class %d, verified %t", forbidden, a.Class, a.Verified)
		}
		if a := p.Assess(subject(t, ""), sightOf(clean, unnamed)); a.Class != isolation.Unverified {
			t.Errorf("%s forbidden, none named: class %d", forbidden, a.Class)
		}
	}
	if a := policy(t, "isolation: {mount: Container}").Assess(subject(t, ""), sightOf(clean, unnamed)); !a.Verified {
		t.Error("capabilities are not judged, and none are named: not verified")
	}
}
