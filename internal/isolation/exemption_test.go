// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"slices"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

const needsPod = "pid: spec.hostPID is true and claims Host, Pod is required: remove it or set it to false"

func TestExemptionCoversWhomItNames(t *testing.T) {
	const expires = `, expires: "2026-06-01T12:00:00Z"`
	const expired = " (exemption e expired at 2026-06-01T12:00:00Z)"
	for name, c := range map[string]struct {
		fields    string // of the exemption
		namespace string
		account   string
		created   time.Time
		exempt    bool
		note      string
	}{
		"a pod of its namespace":                      {"", "shop", "", noon, true, ""},
		"a pod of another namespace":                  {"", "shop2", "", noon, false, ""},
		"a pod of no namespace":                       {"", "", "", noon, false, ""},
		"a pod with its account":                      {", serviceAccounts: [cart, pay]", "shop", "pay", noon, true, ""},
		"a pod with another account":                  {", serviceAccounts: [cart]", "shop", "pay", noon, false, ""},
		"a pod with its account in another namespace": {", serviceAccounts: [cart]", "bank", "cart", noon, false, ""},
		"a pod that names no account":                 {", serviceAccounts: [cart]", "shop", "", noon, false, ""},
		"a pod with the default account":              {", serviceAccounts: [default]", "shop", "", noon, true, ""},
		"a pod that names the default account":        {", serviceAccounts: [default]", "shop", "default", noon, true, ""},
		"a pod created just before it ends":           {expires, "shop", "", noon.Add(-time.Nanosecond), true, ""},
		"a pod created as it ends":                    {expires, "shop", "", noon, false, expired},
		"a pod created after its end":                 {expires, "shop", "", noon.Add(time.Hour), false, expired},
		"a pod created as it ends, elsewhere":         {expires, "shop", "", noon.In(time.FixedZone("", 7200)), false, expired},
		"a pod of another namespace after its end":    {expires, "bank", "", noon, false, ""},
		"a pod of which nobody knows the creation":    {"", "shop", "", time.Time{}, true, ""},
		"a pod of which nobody knows the creation, if it ends": {expires, "shop", "", time.Time{}, false,
			" (exemption e ends at 2026-06-01T12:00:00Z, and when the pod was created is not known)"},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy(t, "isolation: {pid: Pod}\nexemptions: [{name: e, reason: r, namespaces: [shop, mall], isolation: {pid: Host}"+c.fields+"}]")
			s := subject(t, "hostPID: true\nserviceAccountName: "+c.account)
			s.Namespace, s.Created = c.namespace, c.created
			j := p.Judge(s)
			if c.exempt {
				expectMessages(t, j)
				if !slices.Equal(j.Exempt, []string{"e"}) {
					t.Errorf("exempt by %q", j.Exempt)
				}
				return
			}
			expectMessages(t, j, needsPod+c.note)
			if len(j.Exempt) != 0 {
				t.Errorf("exempt by %q", j.Exempt)
			}
		})
	}
}

func TestExemptionOpensWhatItNames(t *testing.T) {
	const host = "\nhostPID: true\nhostNetwork: true\nhostIPC: true\ncontainers: [{name: app, securityContext: {privileged: true}, ports: [{containerPort: 9100, hostPort: 9100}]}]\n" +
		"volumes: [{name: root, hostPath: {path: /}}]"
	all := []string{"pid", "network", "ipc", "uts", "user", "cgroup", "privileged", "hostPaths", "hostPorts"}
	for name, c := range map[string]struct {
		opens string
		gone  []string
	}{
		"an axis":                  {"isolation: {pid: Host}", []string{"pid"}},
		"two axes":                 {"isolation: {network: Host, uts: Host}", []string{"network", "uts"}},
		"an axis, not far enough":  {"isolation: {pid: Pod}", nil},
		"an axis, no further":      {"isolation: {network: Pod, user: Pod}", nil},
		"an axis of no such field": {"isolation: {mount: Host}", nil},
		"the cgroup":               {"isolation: {cgroup: Host}", []string{"cgroup"}},
		"a switch":                 {"portals: {privileged: Allow}", []string{"privileged"}},
		"no switch":                {"portals: {hostPaths: {}}", nil},
		"a path":                   {"portals: {hostPaths: {allow: [{pathPrefix: /}]}}", []string{"hostPaths"}},
		"another path":             {"portals: {hostPaths: {allow: [{pathPrefix: /var}]}}", nil},
		"a port":                   {"portals: {hostPorts: {allow: [{from: 9100, to: 9100}]}}", []string{"hostPorts"}},
		"another port":             {"portals: {hostPorts: {allow: [{from: 9101, to: 9102}]}}", nil},
		"everything": {"isolation: {pid: Host, network: Host, ipc: Host, uts: Host, user: Host, cgroup: Host}\n" +
			"  portals: {privileged: Allow, hostPaths: {allow: [{pathPrefix: /}]}, hostPorts: {allow: [{from: 1, to: 65535}]}}", all},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy(t, everything+"\nexemptions:\n- name: e\n  reason: r\n  namespaces: [shop]\n  "+c.opens)
			j := p.Judge(subject(t, host))
			var got []string
			for i := range j.Violations {
				got = append(got, j.Violations[i].Subject())
			}
			var want []string
			for _, s := range all {
				if !slices.Contains(c.gone, s) {
					want = append(want, s)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("violations %q, want %q", got, want)
			}
			if (len(j.Exempt) > 0) != (len(c.gone) > 0) {
				t.Errorf("exempt by %q", j.Exempt)
			}
		})
	}
}

func TestExemptionThatGoesHalfWayLowersWhatIsRequired(t *testing.T) {
	p := policy(t, "isolation: {pid: Container}\nexemptions: [{name: e, reason: r, namespaces: [shop], isolation: {pid: Pod}}]")
	expectMessages(t, p.Judge(subject(t, "hostPID: true")), needsPod)
	expectMessages(t, p.Judge(subject(t, "shareProcessNamespace: true")))
}

func TestAllowancesOfExemptionsAndPolicyAddUp(t *testing.T) {
	p := policy(t, `
portals:
  hostPaths: {allow: [{pathPrefix: /var/log, readOnly: true}]}
  hostPorts: {allow: [{from: 80, to: 80}]}
exemptions:
- {name: a, reason: r, namespaces: [shop], portals: {hostPaths: {allow: [{pathPrefix: /var/lib}]}}}
- {name: b, reason: r, namespaces: [shop], portals: {hostPaths: {allow: [{pathPrefix: /var/log/app}]}, hostPorts: {allow: [{from: 90, to: 90}]}}}
- {name: c, reason: r, namespaces: [bank], portals: {hostPaths: {allow: [{pathPrefix: /}]}}}`)
	j := p.Judge(subject(t, `
containers:
- name: app
  ports: [{containerPort: 80, hostPort: 80}, {containerPort: 90, hostPort: 90}, {containerPort: 91, hostPort: 91}]
  volumeMounts: [{name: log, mountPath: /1, readOnly: true}, {name: app, mountPath: /2}, {name: lib, mountPath: /3}, {name: etc, mountPath: /4}]
volumes:
- {name: log, hostPath: {path: /var/log}}
- {name: app, hostPath: {path: /var/log/app}}
- {name: lib, hostPath: {path: /var/lib/app}}
- {name: etc, hostPath: {path: /etc}}`))
	expectMessages(t, j,
		"hostPaths: spec.volumes[3].hostPath.path is /etc, which is not allowed: use a volume of another type; allowed /var/log (read-only), /var/lib, /var/log/app",
		"hostPorts: spec.containers[0].ports[2].hostPort is 91, which is not allowed: use a Service instead; allowed 80, 90")
	if !slices.Equal(j.Exempt, []string{"a", "b"}) {
		t.Errorf("exempt by %q", j.Exempt)
	}
	// What one pod was granted must not stay with the policy.
	elsewhere := subject(t, "volumes: [{name: lib, hostPath: {path: /var/lib/app}}]")
	elsewhere.Namespace = "mall"
	expectMessages(t, p.Judge(elsewhere),
		"hostPaths: spec.volumes[0].hostPath.path is /var/lib/app, which is not allowed: use a volume of another type; allowed /var/log (read-only)")
}

func TestExemptionsThatAreNotNeededAreNotNamed(t *testing.T) {
	p := policy(t, `
isolation: {pid: Pod, ipc: Pod}
exemptions:
- {name: ipc, reason: r, namespaces: [shop], isolation: {ipc: Host}}
- {name: pid, reason: r, namespaces: [shop], isolation: {pid: Host}}
- {name: again, reason: r, namespaces: [shop], isolation: {pid: Host}}`)
	if j := p.Judge(subject(t, "hostPID: true")); !slices.Equal(j.Exempt, []string{"pid"}) {
		t.Errorf("exempt by %q", j.Exempt)
	}
	if j := p.Judge(subject(t, "")); len(j.Exempt) != 0 {
		t.Errorf("exempt by %q", j.Exempt)
	}
}

func TestExemptionsThatAreNeededTogetherAreAllNamed(t *testing.T) {
	p := policy(t, `
portals: {capabilities: {forbid: [NET_ADMIN, SYS_TIME]}}
exemptions:
- {name: time, reason: r, namespaces: [shop], portals: {capabilities: {allow: [SYS_TIME]}}}
- {name: path, reason: r, namespaces: [shop], portals: {hostPaths: {allow: [{pathPrefix: /}]}}}
- {name: net, reason: r, namespaces: [shop], portals: {capabilities: {allow: [NET_ADMIN]}}}`)
	for _, securityContext := range []string{"{capabilities: {add: [ALL]}}", "{privileged: true}"} {
		j := p.Judge(subject(t, "containers: [{name: app, securityContext: "+securityContext+"}]"))
		expectMessages(t, j)
		if !slices.Equal(j.Exempt, []string{"time", "net"}) {
			t.Errorf("%s: exempt by %q", securityContext, j.Exempt)
		}
	}
}

func TestEndOfAnExemptionIsToldWhereItMatters(t *testing.T) {
	p := policy(t, `
isolation: {pid: Pod, ipc: Pod}
exemptions:
- {name: e, reason: r, namespaces: [shop], isolation: {pid: Host}, expires: "2026-01-01T00:00:00+01:00"}`)
	expectMessages(t, p.Judge(subject(t, "hostPID: true\nhostIPC: true")),
		needsPod+" (exemption e expired at 2025-12-31T23:00:00Z)",
		"ipc: spec.hostIPC is true and claims Host, Pod is required: remove it or set it to false")

	// Two axes may have one field.
	p = policy(t, `
isolation: {network: Pod, uts: Pod}
exemptions:
- {name: e, reason: r, namespaces: [shop], isolation: {network: Host}, expires: "2026-01-01T00:00:00Z"}`)
	expectMessages(t, p.Judge(subject(t, "hostNetwork: true")),
		"network: spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false (exemption e expired at 2026-01-01T00:00:00Z)",
		"uts: spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false")
}

func TestExemptionDoesNotArmWhatThePolicyDoesNotJudge(t *testing.T) {
	p := policy(t, `
isolation: {pid: Pod}
exemptions:
- name: e
  reason: r
  namespaces: [shop]
  isolation: {pid: Host, network: Pod, user: Pod, cgroup: Container}
  portals: {hostPaths: {allow: [{pathPrefix: /var/log}]}, hostPorts: {}}`)
	j := p.Judge(subject(t, "hostPID: true\nhostNetwork: true\ncontainers: [{name: app, securityContext: {privileged: true}, ports: [{containerPort: 80}]}]\nvolumes: [{name: v, hostPath: {path: /etc}}]"))
	expectMessages(t, j)
	if !slices.Equal(j.Exempt, []string{"e"}) {
		t.Errorf("exempt by %q", j.Exempt)
	}
}

func TestExemptionRaisesNothing(t *testing.T) {
	p := policy(t, "isolation: {pid: Host}\nexemptions: [{name: e, reason: r, namespaces: [shop], isolation: {pid: Container}}]")
	expectMessages(t, p.Judge(subject(t, "hostPID: true")))
}

func TestDebugContainersAreExemptOnlyIfItIsSaid(t *testing.T) {
	const pod = `
containers: [{name: app, securityContext: {privileged: true}}]
ephemeralContainers: [{name: debug, targetContainerName: app, securityContext: {privileged: true}}]`
	const exempting = "isolation: {pid: Container}\nportals: {privileged: Forbid}\n" +
		"exemptions: [{name: e, reason: r, namespaces: [shop], isolation: {pid: Pod}, portals: {privileged: Allow}, ephemeralContainers: "
	for name, debug := range map[string][]string{"when it is added": {"debug"}, "when the pod runs": nil} {
		t.Run(name, func(t *testing.T) {
			s := subject(t, pod)
			s.Debug = debug
			expectMessages(t, policy(t, exempting+"false}]").Judge(s),
				"pid: spec.ephemeralContainers[0].targetContainerName is app and claims Pod, Container is required: debug without --target",
				"privileged: spec.ephemeralContainers[0].securityContext.privileged is true, which is not allowed: remove it or set it to false")
			j := policy(t, exempting+"true}]").Judge(s)
			expectMessages(t, j)
			if !slices.Equal(j.Exempt, []string{"e"}) {
				t.Errorf("exempt by %q", j.Exempt)
			}
		})
	}
}

func TestWhoIsExemptByItsNamespaceNameIsSoWithoutItsLabels(t *testing.T) {
	p := policy(t, "match: {namespaceSelector: {matchLabels: {tenancy: shared}}}\nisolation: {pid: Pod}\n"+
		"exemptions: [{name: e, reason: r, namespaces: [shop], isolation: {pid: Host}}]")
	s := subject(t, "hostPID: true")
	s.NamespaceUnknown, s.NamespaceLabels = true, nil
	var j isolation.Judgement
	if j = p.Judge(s); !j.Matched || len(j.Violations) != 0 {
		t.Errorf("judgement %+v", j)
	}
}
