// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// choices turns a fuzzer's bytes into decisions; when they are used up everything is the first choice.
type choices []byte

// of chooses a number below n.
func (c *choices) of(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

func (c *choices) maybe() bool { return c.of(2) == 1 }

// pick chooses one of several.
func pick[T any](c *choices, all ...T) T { return all[c.of(len(all))] }

// seed adds inputs that reach far.
func seed(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		f.Add(b)
	}
}

func (c *choices) flag() *bool {
	yes, no := true, false
	return pick(c, nil, &yes, &no)
}

func (c *choices) path() string {
	return pick(c, "/", "/var/log", "/var/log/pods", "/var/logs", "/var/log/../..", "/etc//passwd", "", "relative", "/a\n\x1b[2J\xff", "/..", "/dev", "/var/run/crio", "/proc/1/root", `C:\a`)
}

var (
	procMounts   = []corev1.ProcMountType{corev1.DefaultProcMount, corev1.UnmaskedProcMount, "\xff"}
	propagations = []corev1.MountPropagationMode{corev1.MountPropagationNone, corev1.MountPropagationBidirectional, ""}
	pathTypes    = []corev1.HostPathType{corev1.HostPathUnset, corev1.HostPathCharDev, corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate, corev1.HostPathFileOrCreate}
)

func (c *choices) container() corev1.Container {
	k := corev1.Container{Name: pick(c, "app", "proxy", "debug", "")}
	if c.maybe() {
		k.SecurityContext = &corev1.SecurityContext{Privileged: c.flag(), ProcMount: pick(c, nil, &procMounts[0], &procMounts[1], &procMounts[2])}
		for range c.of(3) {
			k.SecurityContext.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{pick[corev1.Capability](c, "SYS_ADMIN", "cap_bpf", "all", "", "\x00")}}
		}
		if c.maybe() {
			k.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: c.flag()}
		}
	}
	for range c.of(3) {
		k.VolumeMounts = append(k.VolumeMounts, corev1.VolumeMount{
			Name: pick(c, "v0", "v1", "v2"), ReadOnly: c.maybe(), MountPropagation: pick(c, nil, &propagations[0], &propagations[1], &propagations[2]),
		})
	}
	if c.maybe() {
		k.VolumeDevices = []corev1.VolumeDevice{{Name: "v0", DevicePath: c.path()}}
	}
	if c.maybe() {
		k.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: pick(c, "", "h", "\n")}}}
		k.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{TCPSocket: &corev1.TCPSocketAction{Host: pick(c, "", "h")}}}
	}
	for range c.of(3) {
		k.Ports = append(k.Ports, corev1.ContainerPort{ContainerPort: pick[int32](c, 80, 8080, 0), HostPort: pick[int32](c, 0, 80, 9100, -1)})
	}
	return k
}

func (c *choices) podSpec() *corev1.PodSpec {
	s := &corev1.PodSpec{
		HostPID: c.maybe(), HostIPC: c.maybe(), HostNetwork: c.maybe(),
		ShareProcessNamespace: c.flag(), HostUsers: c.flag(), ServiceAccountName: pick(c, "", "cart", "\x00"),
	}
	for i := range c.of(4) {
		v := corev1.Volume{Name: fmt.Sprintf("v%d", i)}
		if c.maybe() {
			v.HostPath = &corev1.HostPathVolumeSource{Path: c.path(), Type: pick(c, nil, &pathTypes[0], &pathTypes[1], &pathTypes[2], &pathTypes[3], &pathTypes[4])}
		}
		s.Volumes = append(s.Volumes, v)
	}
	for range c.of(3) {
		s.InitContainers = append(s.InitContainers, c.container())
	}
	for range c.of(3) {
		s.Containers = append(s.Containers, c.container())
	}
	for range c.of(3) {
		k := c.container()
		s.EphemeralContainers = append(s.EphemeralContainers, corev1.EphemeralContainer{
			TargetContainerName: pick(c, "", "app", "\x1b"),
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: k.Name, SecurityContext: k.SecurityContext, VolumeMounts: k.VolumeMounts, VolumeDevices: k.VolumeDevices,
				Ports: k.Ports, LivenessProbe: k.LivenessProbe, Lifecycle: k.Lifecycle,
			},
		})
	}
	if c.maybe() {
		s.SecurityContext = &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: c.flag()}}
	}
	return s
}

func (c *choices) isolation() *v1alpha1.Isolation {
	shared := func() v1alpha1.SandboxLevel { return pick[v1alpha1.SandboxLevel](c, "", "Host", "Pod") }
	own := func() v1alpha1.ContainerLevel { return pick[v1alpha1.ContainerLevel](c, "", "Host", "Container") }
	return &v1alpha1.Isolation{
		PID: pick[v1alpha1.PIDLevel](c, "", "Host", "Pod", "Container"), Network: shared(), IPC: shared(), UTS: shared(),
		Mount: own(), User: shared(), Cgroup: own(),
	}
}

func (c *choices) hostPaths() *v1alpha1.HostPathsPortal {
	if c.maybe() {
		return nil
	}
	p := &v1alpha1.HostPathsPortal{}
	for range c.of(3) {
		p.Allow = append(p.Allow, v1alpha1.AllowedHostPath{PathPrefix: c.path(), ReadOnly: c.maybe()})
	}
	return p
}

func (c *choices) hostPorts() *v1alpha1.HostPortsPortal {
	if c.maybe() {
		return nil
	}
	p := &v1alpha1.HostPortsPortal{}
	for range c.of(3) {
		p.Allow = append(p.Allow, v1alpha1.PortRange{From: pick[int32](c, 1, 80, 9000), To: pick[int32](c, 80, 9100, 65535)})
	}
	return p
}

func (c *choices) forbid() v1alpha1.Forbid { return pick(c, "", v1alpha1.PortalForbid) }

func (c *choices) allow() v1alpha1.Allow { return pick(c, "", v1alpha1.PortalAllow) }

func (c *choices) capabilities() []v1alpha1.Capability {
	return pick(c, []v1alpha1.Capability{"SYS_ADMIN"}, []v1alpha1.Capability{"bpf", "CAP_SYS_ADMIN"}, []v1alpha1.Capability{"ALL"})
}

// policies are one without exemptions, and the same with some for the namespace.
func (c *choices) policies(namespace string) (without, with *v1alpha1.IsolationPolicy) {
	without = &v1alpha1.IsolationPolicy{}
	without.Spec.Admission.Action = v1alpha1.Deny
	without.Spec.Isolation = c.isolation()
	without.Spec.Portals = &v1alpha1.Portals{
		Privileged: c.forbid(), ProcMount: c.forbid(), MountPropagation: c.forbid(), Devices: c.forbid(), RuntimeSockets: c.forbid(),
		WindowsHostProcess: c.forbid(), HostProbes: c.forbid(), HostPaths: c.hostPaths(), HostPorts: c.hostPorts(),
	}
	if c.maybe() {
		without.Spec.Portals.Capabilities = &v1alpha1.CapabilitiesPortal{Forbid: c.capabilities()}
	}
	with = without.DeepCopy()
	for i := range 1 + c.of(3) {
		with.Spec.Exemptions = append(with.Spec.Exemptions, v1alpha1.Exemption{
			Name: fmt.Sprintf("e%d", i), Namespaces: []string{namespace}, EphemeralContainers: c.maybe(), Isolation: c.isolation(),
			Portals: &v1alpha1.ExemptPortals{
				Privileged: c.allow(), ProcMount: c.allow(), MountPropagation: c.allow(), Devices: c.allow(), RuntimeSockets: c.allow(),
				WindowsHostProcess: c.allow(), HostProbes: c.allow(), HostPaths: c.hostPaths(), HostPorts: c.hostPorts(),
				Capabilities: &v1alpha1.ExemptCapabilities{Allow: c.capabilities()},
			},
		})
	}
	return without, with
}

// what names what is wrong, without the words about it.
func what(j isolation.Judgement) []string {
	var all []string
	for i := range j.Violations {
		all = append(all, j.Violations[i].Subject()+" "+j.Violations[i].Field)
	}
	return all
}

func FuzzJudge(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := choices(data)
		without, with := c.policies("monitoring")
		s := &isolation.Subject{Namespace: "shop", Spec: c.podSpec(), Path: "spec", Created: noon}
		if c.maybe() {
			s.Debug = []string{pick(&c, "debug", "app", "")}
		}
		strict := compiled(t, without)
		found := strict.Judge(s)
		for _, v := range found.Violations {
			if v.Message != isolation.Sanitize(v.Message, len(v.Message)) || v.Value != isolation.Sanitize(v.Value, 256) {
				t.Errorf("violation holds raw text: %q, %q", v.Message, v.Value)
			}
		}

		exempting := compiled(t, with)
		if got := exempting.Judge(s); !slices.Equal(messages(got), messages(found)) || got.Exempt != nil {
			t.Errorf("an exemption for another namespace changes\n%q to\n%q", messages(found), messages(got))
		}
		s.Namespace = "monitoring"
		relaxed := exempting.Judge(s)
		for _, v := range what(relaxed) {
			if !slices.Contains(what(found), v) {
				t.Errorf("an exemption adds %s", v)
			}
		}
		// A volume that a debug container mounts too is told once: opened for one, it is left for the other.
		twice := s.Debug == nil && len(s.Spec.EphemeralContainers) > 0
		if fewer := len(relaxed.Violations) < len(found.Violations); fewer != (len(relaxed.Exempt) > 0) && (fewer || !twice) {
			t.Errorf("exempt by %q, and %d of %d violations are left", relaxed.Exempt, len(relaxed.Violations), len(found.Violations))
		}

		// What the API server does to a pod on the node's network changes no verdict.
		s.Namespace = "shop"
		for _, containers := range [][]corev1.Container{s.Spec.InitContainers, s.Spec.Containers} {
			for i := range containers {
				for j := range containers[i].Ports {
					if p := &containers[i].Ports[j]; s.Spec.HostNetwork && p.HostPort == 0 {
						p.HostPort = p.ContainerPort
					}
				}
			}
		}
		if got := strict.Judge(s); len(got.Violations) != len(found.Violations) {
			t.Errorf("the copy of ports changes\n%q to\n%q", messages(found), messages(got))
		}

		levels := isolation.Fill(pick(&c, allLevels...))
		if a := strict.Assess(s, isolation.Sight{Levels: levels}); a.Class == isolation.Compliant && (len(found.Violations) > 0 || !a.Verified) {
			t.Errorf("compliant with %q, verified %v", messages(found), a.Verified)
		}
	})
}

func FuzzVectorOf(f *testing.F) {
	for _, l := range allLevels {
		f.Add(l.String())
	}
	f.Add("container")
	f.Fuzz(func(t *testing.T, name string) {
		v := isolation.VectorOf(v1alpha1.Levels{Mount: v1alpha1.Level(name)})
		if got := v[isolation.Mount]; got == isolation.None || got != isolation.Unknown && got.String() != name {
			t.Errorf("%q is read as %q", name, got)
		}
	})
}

// FuzzTracker lets processes start, fork, end, and go into and out of namespaces, and holds what is
// observed against whose every namespace was when it was made.
func FuzzTracker(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := choices(data[:min(len(data), 400)]) // more takes too long
		w := newWorld(t)
		makers := map[isolation.NamespaceID]*pod{}
		pods := []*pod{w.pod("a"), w.pod("b"), w.podWithoutSandbox("c")}
		for _, p := range pods {
			p.run("app")
			p.run("proxy")
		}
		for len(c) > 0 {
			w.disturb(&c, pods)
			for _, k := range w.containers {
				for _, p := range k.procs {
					for _, a := range isolation.Axes {
						if id := p.Namespaces[a].ID; makers[id] == nil && id != w.init.Namespaces[a].ID {
							makers[id] = k.pod
						}
					}
				}
			}
			o := w.confirmed()
			w.now = w.now.Add(isolation.ConfirmAfter)
			for i, k := range w.containers {
				w.expectTruth(&o.Containers[i], k, makers)
			}
			if t.Failed() {
				return
			}
		}
	})
}

// disturb changes one thing.
func (w *world) disturb(c *choices, pods []*pod) {
	switch c.of(12) {
	case 0:
		pods[c.of(len(pods))].run("more")
		return
	case 1:
		if len(w.containers) > 3 {
			w.containers[c.of(len(w.containers))].gone()
		}
		return
	}
	k := w.containers[c.of(len(w.containers))]
	if len(k.procs) == 0 || k.Sandbox {
		return
	}
	p, a := k.procs[c.of(len(k.procs))], isolation.Axes[c.of(isolation.NumAxes)]
	switch c.of(8) {
	case 0, 1:
		p.fork()
	case 2:
		k.exec("exec")
	case 3:
		p.end()
	case 4:
		p.enter(w.init, a)
	case 5:
		p.unshare(a)
	default:
		other := w.containers[c.of(len(w.containers))]
		if len(other.procs) > 0 {
			p.enter(other.procs[c.of(len(other.procs))], a)
		}
	}
}

// expectTruth fails if a container is taken for more or for less isolated than it is.
func (w *world) expectTruth(o *isolation.ObservedContainer, c *container, makers map[isolation.NamespaceID]*pod) {
	w.t.Helper()
	if len(c.procs) == 0 || c.Sandbox {
		return
	}
	for _, a := range isolation.Axes {
		onNode, abroad := false, false
		for _, p := range c.procs {
			id := p.Namespaces[a].ID
			onNode = onNode || id == w.init.Namespaces[a].ID
			abroad = abroad || makers[id] != nil && makers[id] != c.pod
		}
		got := o.Levels[a]
		switch {
		case onNode && got != isolation.Host:
			w.t.Errorf("%s of %s is %q, and a process is in the node's", a, c.ID, got)
		case !onNode && abroad && got != isolation.Foreign:
			w.t.Errorf("%s of %s is %q, and a process is in another pod's", a, c.ID, got)
		case !onNode && !abroad && got != isolation.Pod && got != isolation.Container:
			w.t.Errorf("%s of %s is %q, and no process is outside", a, c.ID, got)
		}
	}
}
