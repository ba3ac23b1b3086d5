// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// everything demands the most of every axis and forbids every portal.
const everything = `
isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, mount: Container, user: Pod, cgroup: Container}
portals: {privileged: Forbid, hostPaths: {}, hostPorts: {}}`

func TestViolations(t *testing.T) {
	for name, c := range map[string]struct {
		policy, pod string
		want        []string
	}{
		"nothing is wrong with a pod that asks for nothing": {
			"isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, mount: Container, cgroup: Container}\nportals: {privileged: Forbid, hostPaths: {}, hostPorts: {}}",
			"", nil,
		},
		"nothing is wrong where nothing is demanded": {
			"isolation: {mount: Container}", "hostPID: true\nhostNetwork: true\nhostIPC: true", nil,
		},
		"Host demands nothing": {
			"isolation: {pid: Host, network: Host, ipc: Host, uts: Host, mount: Host, user: Host, cgroup: Host}",
			"hostPID: true\nhostNetwork: true\nhostIPC: true\ncontainers: [{name: app, securityContext: {privileged: true}}]", nil,
		},
		"hostPID where Pod is enough": {
			"isolation: {pid: Pod}", "hostPID: true",
			[]string{"pid: spec.hostPID is true and claims Host, Pod is required: remove it or set it to false"},
		},
		"shareProcessNamespace where Pod is enough": {"isolation: {pid: Pod}", "shareProcessNamespace: true", nil},
		"shareProcessNamespace where Container is required": {
			"isolation: {pid: Container}", "shareProcessNamespace: true",
			[]string{"pid: spec.shareProcessNamespace is true and claims Pod, Container is required: remove it or set it to false"},
		},
		"hostPID beside shareProcessNamespace where Container is required": {
			"isolation: {pid: Container}", "hostPID: true\nshareProcessNamespace: true",
			[]string{
				"pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false",
				"pid: spec.shareProcessNamespace is true and claims Pod, Container is required: remove it or set it to false",
			},
		},
		"hostPID beside shareProcessNamespace where Pod is enough": {
			"isolation: {pid: Pod}", "hostPID: true\nshareProcessNamespace: true",
			[]string{"pid: spec.hostPID is true and claims Host, Pod is required: remove it or set it to false"},
		},
		"hostNetwork gives two reasons": {
			"isolation: {network: Pod, uts: Pod}", "hostNetwork: true",
			[]string{
				"network: spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false",
				"uts: spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false",
			},
		},
		"hostUsers that is not set": {
			"isolation: {user: Pod}", "",
			[]string{"user: spec.hostUsers is <unset> and claims Host, Pod is required: set it to false"},
		},
		"hostUsers that is true": {
			"isolation: {user: Pod}", "hostUsers: true",
			[]string{"user: spec.hostUsers is true and claims Host, Pod is required: set it to false"},
		},
		"hostUsers that is false": {"isolation: {user: Pod}", "hostUsers: false", nil},
		"user namespaces relax nothing else": {
			"isolation: {network: Pod}", "hostUsers: false\nhostNetwork: true",
			[]string{"network: spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false"},
		},
		"privileged containers of all kinds": {
			"isolation: {cgroup: Container}\nportals: {privileged: Forbid}", `
initContainers: [{name: init, securityContext: {privileged: true}}, {name: sidecar, restartPolicy: Always, securityContext: {privileged: true}}]
containers: [{name: plain}, {name: app, securityContext: {privileged: true}}]
ephemeralContainers: [{name: debug, securityContext: {privileged: true}}]`,
			[]string{
				"cgroup: spec.initContainers[0].securityContext.privileged is true and claims Host, Container is required: remove it or set it to false",
				"cgroup: spec.initContainers[1].securityContext.privileged is true and claims Host, Container is required: remove it or set it to false",
				"cgroup: spec.containers[1].securityContext.privileged is true and claims Host, Container is required: remove it or set it to false",
				"privileged: spec.initContainers[0].securityContext.privileged is true, which is not allowed: remove it or set it to false",
				"privileged: spec.initContainers[1].securityContext.privileged is true, which is not allowed: remove it or set it to false",
				"privileged: spec.containers[1].securityContext.privileged is true, which is not allowed: remove it or set it to false",
				"cgroup: spec.ephemeralContainers[0].securityContext.privileged is true and claims Host, Container is required: remove it or set it to false",
				"privileged: spec.ephemeralContainers[0].securityContext.privileged is true, which is not allowed: remove it or set it to false",
			},
		},
		"everything at once, axes before portals": {
			everything, `
hostPID: true
hostNetwork: true
hostIPC: true
containers: [{name: app, securityContext: {privileged: true}, ports: [{containerPort: 80, hostPort: 80}]}]
volumes: [{name: v, hostPath: {path: /etc}}]`,
			[]string{
				"pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false",
				"network: spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false",
				"ipc: spec.hostIPC is true and claims Host, Pod is required: remove it or set it to false",
				"uts: spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false",
				"user: spec.hostUsers is <unset> and claims Host, Pod is required: set it to false",
				"cgroup: spec.containers[0].securityContext.privileged is true and claims Host, Container is required: remove it or set it to false",
				"privileged: spec.containers[0].securityContext.privileged is true, which is not allowed: remove it or set it to false",
				"hostPaths: spec.volumes[0].hostPath.path is /etc, which is not allowed: use a volume of another type; allowed none",
				"hostPorts: spec.containers[0].ports[0].hostPort is 80, which is not allowed: use a Service instead; allowed none",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy(t, c.policy)
			j := p.Judge(subject(t, c.pod))
			expectMessages(t, j, c.want...)
			if !j.Matched || j.Policy != p || len(j.Exempt) != 0 {
				t.Errorf("judgement %+v", j)
			}
			for _, v := range j.Violations {
				if v.Policy != "tenants" || (v.Axis == "") == (v.Portal == "") || !strings.HasPrefix(v.Message, v.Field+" is "+v.Value) {
					t.Errorf("violation %+v", v)
				}
			}
			if j.Summary() != strings.Join(c.want, "; ") {
				t.Errorf("summary %q", j.Summary())
			}
			if again := messages(p.Judge(subject(t, c.pod))); !slices.Equal(again, c.want) {
				t.Errorf("the second time: %q", again)
			}
		})
	}
}

func TestDebugContainersAreJudgedOnTheirOwnFields(t *testing.T) {
	const pod = `
hostUsers: false
containers: [{name: app, securityContext: {privileged: true}, ports: [{containerPort: 80}]}]
ephemeralContainers:
- {name: before, targetContainerName: app, securityContext: {privileged: true}}
- {name: clean}
- {name: target, targetContainerName: "app\x1b"}
- {name: root, securityContext: {privileged: true}, volumeMounts: [{name: etc, mountPath: /etc}]}
volumes: [{name: etc, hostPath: {path: /etc}}, {name: var, hostPath: {path: /var}}]`
	p := policy(t, everything)
	for name, c := range map[string]struct {
		debug []string
		want  []string
	}{
		"none":                   {[]string{}, nil},
		"a clean one":            {[]string{"clean"}, nil},
		"one that is not there":  {[]string{"other"}, nil},
		"a container of the pod": {[]string{"app"}, nil},
		"one with a target":      {[]string{"target"}, []string{`pid: spec.ephemeralContainers[2].targetContainerName is app\x1b and claims Pod, Container is required: debug without --target`}},
		"one beside a clean one": {[]string{"clean", "target"}, []string{`pid: spec.ephemeralContainers[2].targetContainerName is app\x1b and claims Pod, Container is required: debug without --target`}},
		"a privileged one on paths": {[]string{"root"}, []string{
			"cgroup: spec.ephemeralContainers[3].securityContext.privileged is true and claims Host, Container is required: remove it or set it to false",
			"privileged: spec.ephemeralContainers[3].securityContext.privileged is true, which is not allowed: remove it or set it to false",
			"hostPaths: spec.volumes[0].hostPath.path is /etc, which is not allowed: use a volume of another type; allowed none",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := subject(t, pod)
			s.Debug = c.debug
			j := p.Judge(s)
			expectMessages(t, j, c.want...)
			if !j.Matched {
				t.Error("not matched")
			}
		})
	}
}

// A debug container is wherever its pod is. An exemption of the pod says nothing of it, unless it says so.
func TestADebugContainerHasTheNamespacesOfItsPod(t *testing.T) {
	const pod = `
hostPID: true
hostNetwork: true
hostIPC: true
securityContext: {windowsOptions: {hostProcess: true}}
containers: [{name: app}]
ephemeralContainers: [{name: debug}]`
	const shares = ": a debug container shares it with its pod: debug another pod, or exempt it with ephemeralContainers: true"
	every := []string{
		"pid: spec.hostPID is true and claims Host, Container is required" + shares,
		"network: spec.hostNetwork is true and claims Host, Pod is required" + shares,
		"ipc: spec.hostIPC is true and claims Host, Pod is required" + shares,
		"uts: spec.hostNetwork is true and claims Host, Pod is required" + shares,
		"user: spec.hostUsers is <unset> and claims Host, Pod is required" + shares,
		"windowsHostProcess: spec.securityContext.windowsOptions.hostProcess is true, which is not allowed" + shares,
	}
	const exempt = `
exemptions:
- name: exporter
  reason: r
  namespaces: [shop]
  isolation: {pid: Host, network: Host, ipc: Host, uts: Host, user: Host}
  portals: {windowsHostProcess: Allow}`
	for name, c := range map[string]struct {
		exemption string
		debug     []string
		want      []string
	}{
		"in a pod that nobody exempts":                      {"", []string{"debug"}, every},
		"in an exempt pod":                                  {exempt, []string{"debug"}, every},
		"in a pod that is exempt with its debug containers": {exempt + "\n  ephemeralContainers: true", []string{"debug"}, nil},
		"if nothing is added":                               {exempt, []string{}, nil},
		"in a pod that is judged anew":                      {exempt, nil, every},
	} {
		t.Run(name, func(t *testing.T) {
			s := subject(t, pod)
			s.Debug = c.debug
			j := policy(t, strings.Replace(everything, "hostPorts: {}", "windowsHostProcess: Forbid", 1)+c.exemption).Judge(s)
			expectMessages(t, j, c.want...)
		})
	}
}

func TestPathOfTheSpecIsTold(t *testing.T) {
	s := subject(t, "hostPID: true\ncontainers: [{name: app, securityContext: {privileged: true}}]")
	s.Path = "spec.template.spec"
	expectMessages(t, policy(t, "isolation: {pid: Pod}\nportals: {privileged: Forbid}").Judge(s),
		"pid: spec.template.spec.hostPID is true and claims Host, Pod is required: remove it or set it to false",
		"privileged: spec.template.spec.containers[0].securityContext.privileged is true, which is not allowed: remove it or set it to false")
}

func TestMatch(t *testing.T) {
	const shared = "match: {namespaceSelector: {matchLabels: {tenancy: shared}}}\n"
	const cart = "match: {podSelector: {matchExpressions: [{key: app, operator: In, values: [cart]}]}}\n"
	const both = "match: {namespaceSelector: {matchLabels: {tenancy: shared}}, podSelector: {matchLabels: {app: cart}}}\n"
	sharedLabels, own := map[string]string{"tenancy": "shared"}, map[string]string{"tenancy": "own"}
	for name, c := range map[string]struct {
		match     string
		namespace map[string]string
		unknown   bool
		pod       map[string]string
		want      bool
	}{
		"no match matches everything":                   {"", nil, false, nil, true},
		"an empty match matches everything":             {"match: {}\n", nil, false, nil, true},
		"empty selectors match everything":              {"match: {namespaceSelector: {}, podSelector: {}}\n", nil, false, nil, true},
		"a namespace that is selected":                  {shared, sharedLabels, false, nil, true},
		"a namespace that is not selected":              {shared, own, false, nil, false},
		"a namespace without labels":                    {shared, nil, false, nil, false},
		"a namespace that is not known":                 {shared, nil, true, nil, true},
		"labels that may be old of one that is unknown": {shared, own, true, nil, true},
		"a pod that is selected":                        {cart, nil, false, map[string]string{"app": "cart"}, true},
		"a pod that is not selected":                    {cart, nil, false, map[string]string{"app": "shop"}, false},
		"a pod without labels":                          {cart, nil, false, nil, false},
		"a pod that is not selected, namespace unknown": {both, nil, true, nil, false},
		"both selected":                                 {both, sharedLabels, false, map[string]string{"app": "cart"}, true},
		"only the namespace selected":                   {both, sharedLabels, false, nil, false},
		"only the pod selected":                         {both, own, false, map[string]string{"app": "cart"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := subject(t, "hostPID: true")
			s.NamespaceLabels, s.NamespaceUnknown, s.Labels = c.namespace, c.unknown, c.pod
			p := policy(t, c.match+"isolation: {pid: Pod}")
			if got := p.Matches(s); got != c.want {
				t.Errorf("matches: %v", got)
			}
			if j := p.Judge(s); j.Matched != c.want || (len(j.Violations) == 1) != c.want {
				t.Errorf("judgement %+v", j)
			}
		})
	}
}

func TestEveryPolicyIsJudgedByItself(t *testing.T) {
	s := subject(t, "hostPID: true\nhostIPC: true")
	strict := policy(t, "isolation: {pid: Container}\nexemptions: [{name: e, reason: r, namespaces: [shop], isolation: {ipc: Host}}]")
	lax := compiled(t, policyNamed(t, "lax", "isolation: {pid: Host, ipc: Pod}"))
	expectMessages(t, strict.Judge(s), "pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false")
	expectMessages(t, lax.Judge(s), "ipc: spec.hostIPC is true and claims Host, Pod is required: remove it or set it to false")
}

func TestPodSpecsThatAreHardlyOnesAreJudged(t *testing.T) {
	p := policy(t, everything)
	for name, spec := range map[string]*corev1.PodSpec{
		"an empty one":                  {},
		"containers without a name":     {Containers: make([]corev1.Container, 2), EphemeralContainers: make([]corev1.EphemeralContainer, 2)},
		"volumes without a source":      {Volumes: make([]corev1.Volume, 2)},
		"an empty host path":            {Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}}}}},
		"mounts of volumes that are no": {Containers: []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "v"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			j := p.Judge(&isolation.Subject{Spec: spec, Path: "spec"})
			if !j.Matched || len(j.Violations) == 0 || j.Violations[0].Axis != "user" {
				t.Errorf("judgement %+v", j)
			}
		})
	}
}
