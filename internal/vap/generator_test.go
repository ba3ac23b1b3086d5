// SPDX-License-Identifier: Apache-2.0

package vap_test

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// noon is when generated pods were created; exemptions end around it.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// choices turns bytes into decisions; when they are used up everything is the first choice.
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

// rarely is true once in a while, so that what is judged together does not always violate.
func (c *choices) rarely() bool { return c.of(6) == 5 }

// pick chooses one of several.
func pick[T any](c *choices, all ...T) T { return all[c.of(len(all))] }

func (c *choices) flag() *bool { return pick(c, nil, ptr.To(true), ptr.To(false)) }

// Values at the boundaries of the rules, and hostile ones.
var (
	prefixes = []string{"/var/log", "/", "/var", "/srv/data", "/dev", "/run/containerd", "/it's \\ \"quoted\"", "/ünïcode"}
	paths    = []string{
		"/", "/var/log", "/var/log/", "/var/log/pods", "/var/logs", "/var//log/./pods", "/./var/log/.", "//", "/.", "/...", "/var/log/..log",
		"/var/log/../..", "..", "/..", "/../", "/srv", "/srv/data", "/srv/data/x", "/srv/dat", "relative", "", ".", "./var/log",
		"/dev", "/dev/sda", "/devices", "/dev/fd", "/dev/fdx", "/dev/stdin/x", "/dev/./fd/3",
		"/proc", "/proc/2//", "/proc/self/./task", "/proc/1/task/1", "/proc/sys", "/proc/1/stat", "/proc/1/root", "/proc/1/rootx", "/proc/self/cwd/x", "/proc/1/task/2/fd/3", "/proc//1/./exe", "/proc/1/status", "/proc/\n/map_files",
		"/run", "/run/containerd", "/run/containerd/containerd.sock", "/run/containerdx", "/var/run", "/var/run/docker.sock", "/var/runner", "/var/run/crio/x",
		"/x/var/run/docker.sock", "/var/lib", "/var/lib/kubelet", "/var/lib/kubelet/pods", "/var/lib/kubelet/device-plugins",
		`C:\data`, "C:", "c:/x", "C:x", `C:\..\x`, "C:/../x", "//./pipe/docker_engine", `\\.\pipe\docker_engine`,
		"/a\n/var/log", "\n", "/var/log\n", "/var/log/\x1b[2J", "/var/log/ü", "/ünïcode/x", "/it's \\ \"quoted\"/x",
		"/var/log/" + long(300), "/" + long(200) + "; ... and 7 more",
	}
	capabilities = []corev1.Capability{
		"SYS_ADMIN", "sys_admin", "CAP_SYS_ADMIN", "cap_sys_admin", "CAP_CAP_SYS_ADMIN", "SYS_PTRACE", "ALL", "all", "CAP_ALL", "NET_RAW", "net_raw",
		"", "\u017fys_admin", "cap_\u017fY\u017f_PTRACE", "SYS_ADM\u0131N", "bp\u0131", "\n", "SYS_ADMIN\n", "ünïcode", corev1.Capability(long(200)),
	}
	hosts        = []string{"", "127.0.0.1", "::1", "localhost", "a\nb", "\x1b[2J", "ünïcode", long(300)}
	procMounts   = []corev1.ProcMountType{corev1.DefaultProcMount, corev1.UnmaskedProcMount, "", "x\ny"}
	propagations = []corev1.MountPropagationMode{corev1.MountPropagationNone, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, "", "x\ny"}
	pathTypes    = []corev1.HostPathType{corev1.HostPathUnset, corev1.HostPathCharDev, corev1.HostPathBlockDev, corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate, corev1.HostPathFileOrCreate}
	namespaces   = []string{"shop", "monitoring", "default"}
	accounts     = []string{"", "default", "node-exporter", "it's"}
)

func long(n int) string { return string(slices.Repeat([]byte("a"), n)) }

// policy is one that an API server accepts.
func (c *choices) policy() *v1alpha1.IsolationPolicy {
	p := &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "tenants", UID: "11111111-2222-3333-4444-555555555555", Generation: 7}}
	p.Spec.Admission = v1alpha1.AdmissionSpec{
		Action: pick(c, v1alpha1.Deny, v1alpha1.Warn, v1alpha1.Audit), Engine: v1alpha1.EngineValidatingAdmissionPolicy,
	}
	if c.of(4) > 0 {
		p.Spec.Isolation = c.isolation()
	}
	if c.of(4) > 0 || p.Spec.Isolation == nil {
		p.Spec.Portals = c.portals()
	}
	if c.rarely() {
		p.Spec.Match = &v1alpha1.PolicyMatch{
			NamespaceSelector: pick(c, nil, &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}),
			PodSelector: pick(c, nil, &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"exporter"}},
			}}),
		}
	}
	for i := range c.of(4) {
		p.Spec.Exemptions = append(p.Spec.Exemptions, c.exemption(fmt.Sprintf("e%d-x", i)))
	}
	return p
}

func (c *choices) isolation() *v1alpha1.Isolation {
	shared := func() v1alpha1.SandboxLevel { return pick[v1alpha1.SandboxLevel](c, "", "Pod", "Host") }
	own := func() v1alpha1.ContainerLevel { return pick[v1alpha1.ContainerLevel](c, "", "Container", "Host") }
	return &v1alpha1.Isolation{
		PID: pick[v1alpha1.PIDLevel](c, "Container", "Pod", "", "Host"), Network: shared(), IPC: shared(), UTS: shared(),
		Mount: own(), User: shared(), Cgroup: own(),
	}
}

func (c *choices) portals() *v1alpha1.Portals {
	forbid := func() v1alpha1.Forbid { return pick(c, "", v1alpha1.PortalForbid) }
	p := &v1alpha1.Portals{
		Privileged: forbid(), ProcMount: forbid(), MountPropagation: forbid(), Devices: forbid(), RuntimeSockets: forbid(),
		WindowsHostProcess: forbid(), HostProbes: forbid(),
	}
	if c.maybe() {
		p.HostPaths = c.hostPaths()
	}
	if c.maybe() {
		p.HostPorts = c.hostPorts()
	}
	if c.maybe() {
		p.Capabilities = &v1alpha1.CapabilitiesPortal{Forbid: c.names()}
	}
	return p
}

func (c *choices) hostPaths() *v1alpha1.HostPathsPortal {
	p := &v1alpha1.HostPathsPortal{}
	for range c.of(3) {
		p.Allow = append(p.Allow, v1alpha1.AllowedHostPath{PathPrefix: pick(c, prefixes...), ReadOnly: c.maybe()})
	}
	return p
}

func (c *choices) hostPorts() *v1alpha1.HostPortsPortal {
	p := &v1alpha1.HostPortsPortal{}
	for range c.of(3) {
		p.Allow = append(p.Allow, pick(c, v1alpha1.PortRange{From: 80, To: 80}, v1alpha1.PortRange{From: 30000, To: 31000}, v1alpha1.PortRange{From: 1, To: 65535}))
	}
	return p
}

func (c *choices) names() []v1alpha1.Capability {
	all := [][]v1alpha1.Capability{{"SYS_ADMIN", "cap_sys_ptrace"}, {"ALL"}, {"sys_admin"}, {"NET_RAW", "all"}, {"NET_RAW"}}
	return pick(c, all...)
}

func (c *choices) exemption(name string) v1alpha1.Exemption {
	e := v1alpha1.Exemption{
		Name: name, Reason: "because", Namespaces: pick(c, namespaces[:1], namespaces[1:2], namespaces[:2]),
		ServiceAccounts: pick(c, nil, nil, []string{"default"}, []string{"node-exporter", "it's"}), EphemeralContainers: c.maybe(),
	}
	if c.maybe() {
		end := metav1.NewTime(pick(c, noon, noon.Add(time.Second), noon.Add(-time.Second), noon.Add(time.Hour)))
		e.Expires = &end
	}
	if c.maybe() {
		e.Isolation = c.isolation()
		e.Isolation.Cgroup = pick[v1alpha1.ContainerLevel](c, "Host", "", "Container")
	}
	if e.Isolation != nil && c.maybe() {
		return e
	}
	allow := func() v1alpha1.Allow { return pick(c, "", v1alpha1.PortalAllow) }
	e.Portals = &v1alpha1.ExemptPortals{
		Privileged: allow(), ProcMount: allow(), MountPropagation: allow(), Devices: allow(), RuntimeSockets: allow(),
		WindowsHostProcess: allow(), HostProbes: allow(),
	}
	if c.maybe() {
		e.Portals.HostPaths = c.hostPaths()
		e.Portals.HostPaths.Allow = append(e.Portals.HostPaths.Allow, v1alpha1.AllowedHostPath{PathPrefix: pick(c, "/", "/var/log"), ReadOnly: c.maybe()})
	}
	if c.maybe() {
		e.Portals.HostPorts = c.hostPorts()
	}
	if c.maybe() {
		e.Portals.Capabilities = &v1alpha1.ExemptCapabilities{Allow: c.names()}
	}
	return e
}

// request is one that passes an API server's validation, with values it does not allow here and there:
// a pod is created, or ephemeral containers are added to one.
func (c *choices) request() *request {
	pod := c.pod()
	r := &request{pod: pod, untyped: c.maybe()}
	if c.of(3) == 0 {
		old := pod.DeepCopy()
		for i := range c.of(3) {
			old.Spec.EphemeralContainers = append(old.Spec.EphemeralContainers, c.ephemeral(fmt.Sprintf("old%d", i)))
		}
		r.old = old
		// What is added can stand before what was there.
		pod.Spec.EphemeralContainers = slices.Clone(old.Spec.EphemeralContainers)
		for i := range 1 + c.of(2) {
			at := c.of(len(pod.Spec.EphemeralContainers) + 1)
			pod.Spec.EphemeralContainers = slices.Insert(pod.Spec.EphemeralContainers, at, c.ephemeral(fmt.Sprintf("new%d", i)))
		}
	}
	if c.rarely() {
		c.mirror(r)
	}
	return r
}

// mirror makes the pod look like the mirror of a static pod, more or less genuine.
func (c *choices) mirror(r *request) {
	r.pod.Annotations = pick(c, map[string]string{corev1.MirrorPodAnnotationKey: ""}, map[string]string{"other": ""}, nil)
	r.pod.Spec.NodeName = pick(c, "node-1", "node-2", "")
	r.user = &user.DefaultInfo{
		Name:   pick(c, "system:node:node-1", "system:node:", "jane"),
		Groups: pick(c, []string{"system:nodes", "system:authenticated"}, []string{"system:authenticated"}, nil),
	}
}

func (c *choices) pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "web", Namespace: pick(c, namespaces...), CreationTimestamp: metav1.NewTime(noon),
		Labels: pick(c, nil, map[string]string{"app": "exporter"}, map[string]string{"app": "web"}),
	}}
	s := &p.Spec
	s.HostPID, s.HostIPC, s.HostNetwork = c.rarely(), c.rarely(), c.rarely()
	if !s.HostPID && c.rarely() {
		s.ShareProcessNamespace = c.flag()
	}
	s.HostUsers = pick(c, ptr.To(false), ptr.To(false), ptr.To(true), nil)
	s.ServiceAccountName = pick(c, accounts...)
	s.DeprecatedServiceAccount = pick(c, s.ServiceAccountName, "node-exporter")
	if c.rarely() {
		s.SecurityContext = &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: c.flag()}}
	}
	for i := range c.of(4) {
		v := corev1.Volume{Name: fmt.Sprintf("v%d", i)}
		if c.of(3) > 0 {
			v.HostPath = &corev1.HostPathVolumeSource{Path: pick(c, paths...), Type: pick(c, nil, &pathTypes[0], &pathTypes[1], &pathTypes[2], &pathTypes[3], &pathTypes[4], &pathTypes[5])}
		}
		s.Volumes = append(s.Volumes, v)
	}
	for i := range c.of(3) {
		k := c.container(fmt.Sprintf("init%d", i))
		k.RestartPolicy = pick(c, nil, ptr.To(corev1.ContainerRestartPolicyAlways))
		s.InitContainers = append(s.InitContainers, k)
	}
	for i := range 1 + c.of(2) {
		s.Containers = append(s.Containers, c.container(fmt.Sprintf("app%d", i)))
	}
	if s.HostNetwork && c.maybe() {
		defaultHostPorts(s)
	}
	return p
}

// defaultHostPorts does as the API server with a pod on the node's network.
func defaultHostPorts(s *corev1.PodSpec) {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			for j := range list[i].Ports {
				if p := &list[i].Ports[j]; p.HostPort == 0 {
					p.HostPort = p.ContainerPort
				}
			}
		}
	}
}

func (c *choices) ephemeral(name string) corev1.EphemeralContainer {
	return corev1.EphemeralContainer{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon(c.container(name)),
		TargetContainerName:      pick(c, "", "", "app0"),
	}
}

func (c *choices) container(name string) corev1.Container {
	k := corev1.Container{Name: name}
	if c.of(3) == 0 {
		k.SecurityContext = c.securityContext()
	}
	for range c.of(3) {
		m := corev1.VolumeMount{Name: pick(c, "v0", "v1", "v2"), MountPath: "/m", ReadOnly: c.maybe()}
		if c.rarely() {
			m.MountPropagation = pick(c, &propagations[0], &propagations[1], &propagations[2], &propagations[3], &propagations[4])
		}
		k.VolumeMounts = append(k.VolumeMounts, m)
	}
	if c.rarely() {
		k.VolumeDevices = []corev1.VolumeDevice{{Name: "v0", DevicePath: pick(c, paths...)}}
	}
	for range c.of(3) {
		k.Ports = append(k.Ports, corev1.ContainerPort{
			ContainerPort: pick[int32](c, 80, 8080, 30000), HostPort: pick[int32](c, 0, 0, 0, 79, 80, 81, 29999, 30000, 31000, 31001, 65535),
		})
	}
	if c.rarely() {
		c.probe(&k)
	}
	return k
}

func (c *choices) securityContext() *corev1.SecurityContext {
	s := &corev1.SecurityContext{Privileged: pick(c, nil, ptr.To(false), nil, ptr.To(true))}
	if c.rarely() {
		s.ProcMount = pick(c, &procMounts[0], &procMounts[1], &procMounts[2], &procMounts[3])
	}
	if c.maybe() {
		s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
		for range c.of(3) {
			s.Capabilities.Add = append(s.Capabilities.Add, pick(c, capabilities...))
		}
	}
	if c.rarely() {
		s.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: c.flag()}
	}
	return s
}

// probe adds a probe or a hook, of any kind.
func (c *choices) probe(k *corev1.Container) {
	get := &corev1.HTTPGetAction{Host: pick(c, hosts...), Path: "/"}
	socket := &corev1.TCPSocketAction{Host: pick(c, hosts...)}
	if c.maybe() {
		get = nil
	} else {
		socket = nil
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get, TCPSocket: socket}}
	hook := &corev1.LifecycleHandler{HTTPGet: get, TCPSocket: socket}
	switch c.of(5) {
	case 0:
		k.LivenessProbe = probe
	case 1:
		k.ReadinessProbe = probe
	case 2:
		k.StartupProbe = probe
	case 3:
		k.Lifecycle = &corev1.Lifecycle{PostStart: hook}
	default:
		k.Lifecycle = &corev1.Lifecycle{PreStop: hook}
	}
}
