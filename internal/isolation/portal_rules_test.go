// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// ruling is a pod and what a policy with one portal says of it.
type ruling struct {
	portal, pod string
	// messages, without the name of the portal before them; none if it passes.
	messages []string
}

func expectRulings(t *testing.T, portal string, rulings map[string]ruling) {
	t.Helper()
	for name, c := range rulings {
		t.Run(name, func(t *testing.T) {
			want := make([]string, len(c.messages))
			for i, m := range c.messages {
				want[i] = portal + ": " + m
			}
			expectMessages(t, policy(t, "portals: {"+portal+": "+c.portal+"}").Judge(subject(t, c.pod)), want...)
		})
	}
}

const toDefault = "which is not allowed: remove it or set it to Default"
const toFalse = "which is not allowed: remove it or set it to false"

func volume(source string) string { return "volumes: [{name: v, hostPath: {" + source + "}}]" }

func TestProcMount(t *testing.T) {
	reached := func(path string) []string {
		return []string{"spec.volumes[0].hostPath.path is " + path + ", which is not allowed: " + isolation.RemedyProc}
	}
	expectRulings(t, "procMount", map[string]ruling{
		"is not set":                  {"Forbid", "", nil},
		"has a security context only": {"Forbid", "containers: [{name: app, securityContext: {privileged: false}}]", nil},
		"is the default":              {"Forbid", "containers: [{name: app, securityContext: {procMount: Default}}]", nil},
		"is empty":                    {"Forbid", `containers: [{name: app, securityContext: {procMount: ""}}]`, nil},
		"is unmasked": {"Forbid", "containers: [{name: app, securityContext: {procMount: Unmasked}}]",
			[]string{"spec.containers[0].securityContext.procMount is Unmasked, " + toDefault}},
		"is unmasked in a user namespace": {"Forbid", "hostUsers: false\ncontainers: [{name: app, securityContext: {procMount: Unmasked}}]",
			[]string{"spec.containers[0].securityContext.procMount is Unmasked, " + toDefault}},
		"is of a later version": {"Forbid", "initContainers: [{name: i, securityContext: {procMount: Half}}]",
			[]string{"spec.initContainers[0].securityContext.procMount is Half, " + toDefault}},
		"of a debug container": {"Forbid", "ephemeralContainers: [{name: d, securityContext: {procMount: Unmasked}}]",
			[]string{"spec.ephemeralContainers[0].securityContext.procMount is Unmasked, " + toDefault}},
		"of a privileged container": {"Forbid", "containers: [{name: app, securityContext: {privileged: true}}]",
			[]string{"spec.containers[0].securityContext.privileged is true, " + toFalse}},
		"of the node":             {"Forbid", volume("path: /proc"), reached("/proc")},
		"of the node, in part":    {"Forbid", volume("path: /proc/sys"), reached("/proc/sys")},
		"of the node, with all":   {"Forbid", volume("path: //"), reached("//")},
		"of the node, of nobody":  {"Forbid", volume("path: /processes"), nil},
		"of the node, for debug":  {"Forbid", "ephemeralContainers: [{name: d, volumeMounts: [{name: v, mountPath: /v}]}]\n" + volume("path: /proc/1"), reached("/proc/1")},
		"of the node, for nobody": {"Forbid", "ephemeralContainers: [{name: d}]", nil},
	})
}

func TestMountPropagation(t *testing.T) {
	const remedy = "which is not allowed: remove it or set it to None"
	mount := func(list, value string) string {
		return list + ": [{name: c, volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /w, mountPropagation: " + value + "}]}]"
	}
	expectRulings(t, "mountPropagation", map[string]ruling{
		"is not set": {"Forbid", "containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]", nil},
		"is None":    {"Forbid", mount("containers", "None"), nil},
		"is empty":   {"Forbid", mount("containers", `""`), nil},
		"goes to the node": {"Forbid", mount("initContainers", "Bidirectional"),
			[]string{"spec.initContainers[0].volumeMounts[1].mountPropagation is Bidirectional, " + remedy}},
		"comes from the node": {"Forbid", mount("containers", "HostToContainer"),
			[]string{"spec.containers[0].volumeMounts[1].mountPropagation is HostToContainer, " + remedy}},
		"of a debug container": {"Forbid", mount("ephemeralContainers", "HostToContainer"),
			[]string{"spec.ephemeralContainers[0].volumeMounts[1].mountPropagation is HostToContainer, " + remedy}},
	})
}

func TestDevices(t *testing.T) {
	const remedy = ", which is not allowed: it reaches devices of the node: use a volume of another type, or a device plugin"
	refused := func(path string) []string { return []string{"spec.volumes[0].hostPath.path is " + path + remedy} }
	expectRulings(t, "devices", map[string]ruling{
		"are none":                          {"Forbid", "volumes: [{name: v, emptyDir: {}}]", nil},
		"are no folder":                     {"Forbid", volume("path: /var/log, type: Directory"), nil},
		"have a name that begins so":        {"Forbid", volume("path: /devices"), nil},
		"are the folder":                    {"Forbid", volume("path: /dev"), refused("/dev")},
		"are in the folder":                 {"Forbid", volume("path: /dev//./snd/"), refused("/dev//./snd/")},
		"are told by the kernel what to do": {"Forbid", volume("path: /sys/bus/pci"), refused("/sys/bus/pci")},
		"are below the root":                {"Forbid", volume("path: /"), refused("/")},
		"are somewhere, nobody knows":       {"Forbid", volume("path: /var/../dev"), refused("/var/../dev")},
		"are reached through a process":     {"Forbid", volume("path: /proc/1/root"), refused("/proc/1/root")},
		"are of a drive of Windows":         {"Forbid", volume(`path: 'C:\data'`), nil},
		"are a file of character type":      {"Forbid", volume("path: /opt/tty, type: CharDevice"), refused("/opt/tty")},
		"are a file of block type":          {"Forbid", volume("path: /opt/disk, type: BlockDevice"), refused("/opt/disk")},
		"are mounted by no debugger":        {"Forbid", "ephemeralContainers: [{name: d}]", nil},
		"are given to a debug container":    {"Forbid", "ephemeralContainers: [{name: d, volumeMounts: [{name: v, mountPath: /v}]}]\n" + volume("path: /dev"), refused("/dev")},
		"are raw block volumes": {"Forbid", "containers: [{name: a}, {name: b, volumeDevices: [{name: v, devicePath: /dev/xvda}]}]",
			[]string{"spec.containers[1].volumeDevices[0].devicePath is /dev/xvda, which is not allowed: mount the volume as a file system (volumeMode: Filesystem)"}},
		"are all, by privilege": {"Forbid", "initContainers: [{name: i, securityContext: {privileged: true}}]",
			[]string{"spec.initContainers[0].securityContext.privileged is true, " + toFalse}},
	})
}

func TestRuntimeSockets(t *testing.T) {
	const remedy = ", which is not allowed: it reaches a socket that commands the container runtime or the kubelet: use a volume of another type"
	rulings := map[string]ruling{}
	for _, path := range []string{
		"/", "/run", "/run/", "/var/run", "/var/run/", "//var//run/./docker.sock", "/run/docker.sock", "/var/run/docker.sock",
		"/run/containerd", "/run/containerd/containerd.sock", "/var/run/containerd/io.containerd.runtime.v2.task", "/run/crio/crio.sock",
		"/run/k3s/containerd/containerd.sock", "/var/run/nri/nri.sock", "/run/user/1000/docker.sock", "/var", "/var/lib", "/var/lib/kubelet",
		"/var/lib/kubelet/device-plugins/kubelet.sock", "/proc/1/root/run", "/proc/self/cwd", "/proc/4711/task/4712/root/run",
		"/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins/csi.example/csi.sock",
		"/proc/1/fd/7", "/dev/fd/3", "/proc", "/proc/", "/proc/2", "//proc/./self/", "/proc/1/task", "/proc/1/task/2", "/var/log/../run", "run/containerd", `\\.\pipe\docker_engine`, "//./pipe/docker_engine", "C:/../run",
	} {
		rulings["are reached by "+path] = ruling{"Forbid", "volumes: [{name: v, hostPath: {path: '" + path + "'}}]",
			[]string{"spec.volumes[0].hostPath.path is " + path + remedy}}
	}
	for _, path := range []string{
		"/var/log", "/etc", "/runner", "/run/containers", "/run/docker.sock.d", "/var/running", "/var/lib/kubelet/pods",
		"/proc/sys/net", "/proc/sys", "/proc/stat", "/proc/1/stat", "/proc/1/task/2/stat", "/proc/rooted/x", "/proc/1/rootless", "/dev/fdx", `C:\ProgramData`, `d:/data`, "C:",
	} {
		rulings["are not reached by "+path] = ruling{"Forbid", "volumes: [{name: v, hostPath: {path: '" + path + "'}}]", nil}
	}
	expectRulings(t, "runtimeSockets", rulings)
}

func TestWindowsHostProcess(t *testing.T) {
	expectRulings(t, "windowsHostProcess", map[string]ruling{
		"is not asked for": {"Forbid", "securityContext: {windowsOptions: {hostProcess: false}}\ncontainers: [{name: app, securityContext: {windowsOptions: {}}}]", nil},
		"of a pod": {"Forbid", "securityContext: {windowsOptions: {hostProcess: true}}",
			[]string{"spec.securityContext.windowsOptions.hostProcess is true, " + toFalse}},
		"of a pod, once, though a debug container is in it": {"Forbid", "securityContext: {windowsOptions: {hostProcess: true}}\nephemeralContainers: [{name: d}]",
			[]string{"spec.securityContext.windowsOptions.hostProcess is true, " + toFalse}},
		"of containers": {"Forbid", "initContainers: [{name: i, securityContext: {windowsOptions: {hostProcess: true}}}]\n" +
			"ephemeralContainers: [{name: d, securityContext: {windowsOptions: {hostProcess: true}}}]",
			[]string{
				"spec.initContainers[0].securityContext.windowsOptions.hostProcess is true, " + toFalse,
				"spec.ephemeralContainers[0].securityContext.windowsOptions.hostProcess is true, " + toFalse,
			}},
	})
}

func TestHostProbes(t *testing.T) {
	const remedy = ", which is not allowed: remove it: without it the probe or hook goes to the pod"
	const head = "containers: [{name: app, "
	expectRulings(t, "hostProbes", map[string]ruling{
		"name no host":            {"Forbid", head + "livenessProbe: {httpGet: {port: 80}}, readinessProbe: {tcpSocket: {port: 80}}, startupProbe: {exec: {command: [a]}}, lifecycle: {preStop: {sleep: {seconds: 1}}}}]", nil},
		"say so in a header only": {"Forbid", head + "livenessProbe: {httpGet: {port: 80, httpHeaders: [{name: Host, value: example.org}]}}}]", nil},
		"name a host each": {"Forbid", head + "livenessProbe: {httpGet: {port: 80, host: a}}, readinessProbe: {tcpSocket: {port: 80, host: b}}, startupProbe: {httpGet: {port: 80, host: c}}, " +
			"lifecycle: {postStart: {httpGet: {port: 80, host: d}}, preStop: {tcpSocket: {port: 80, host: e}}}}]",
			[]string{
				"spec.containers[0].livenessProbe.httpGet.host is a" + remedy,
				"spec.containers[0].readinessProbe.tcpSocket.host is b" + remedy,
				"spec.containers[0].startupProbe.httpGet.host is c" + remedy,
				"spec.containers[0].lifecycle.postStart.httpGet.host is d" + remedy,
				"spec.containers[0].lifecycle.preStop.tcpSocket.host is e" + remedy,
			}},
		"name the node itself": {"Forbid", head + "livenessProbe: {tcpSocket: {port: 80, host: 127.0.0.1}}}]",
			[]string{"spec.containers[0].livenessProbe.tcpSocket.host is 127.0.0.1" + remedy}},
		"of a sidecar": {"Forbid", "initContainers: [{name: i, restartPolicy: Always, startupProbe: {tcpSocket: {port: 80, host: '::1'}}}]",
			[]string{"spec.initContainers[0].startupProbe.tcpSocket.host is ::1" + remedy}},
		"of a debug container": {"Forbid", "ephemeralContainers: [{name: d, livenessProbe: {tcpSocket: {port: 80, host: h}}}]",
			[]string{"spec.ephemeralContainers[0].livenessProbe.tcpSocket.host is h" + remedy}},
	})
}

func TestCapabilities(t *testing.T) {
	adds := func(list string) string {
		return "containers: [{name: app, securityContext: {capabilities: {drop: [ALL], add: [" + list + "]}}}]"
	}
	refused := func(i, value, forbidden string) string {
		return "spec.containers[0].securityContext.capabilities.add[" + i + "] is " + value + ", which is not allowed: remove it; forbidden " + forbidden
	}
	expectRulings(t, "capabilities", map[string]ruling{
		"are dropped":                           {"{forbid: [ALL]}", "containers: [{name: app, securityContext: {capabilities: {drop: [SYS_ADMIN]}}}]", nil},
		"are added that are not forbidden":      {"{forbid: [SYS_ADMIN]}", adds("NET_ADMIN, SYS_ADMINISTRATOR"), nil},
		"are added":                             {"{forbid: [SYS_ADMIN, BPF]}", adds("NET_ADMIN, BPF"), []string{refused("1", "BPF", "SYS_ADMIN, BPF")}},
		"are forbidden by their other name":     {"{forbid: [cap_sys_admin]}", adds("SYS_ADMIN"), []string{refused("0", "SYS_ADMIN", "SYS_ADMIN")}},
		"are added by their other name":         {"{forbid: [SYS_ADMIN]}", adds("CAP_Sys_Admin"), []string{refused("0", "CAP_Sys_Admin", "SYS_ADMIN")}},
		"are all added":                         {"{forbid: [SYS_ADMIN]}", adds("all"), []string{refused("0", "all", "SYS_ADMIN")}},
		"are all forbidden":                     {"{forbid: [ALL]}", adds("CHOWN"), []string{refused("0", "CHOWN", "ALL")}},
		"of a debug container":                  {"{forbid: [SYS_PTRACE]}", "ephemeralContainers: [{name: d, securityContext: {capabilities: {add: [SYS_PTRACE]}}}]", []string{strings.Replace(refused("0", "SYS_PTRACE", "SYS_PTRACE"), "containers", "ephemeralContainers", 1)}},
		"of a privileged container":             {"{forbid: [SYS_ADMIN]}", "containers: [{name: app, securityContext: {privileged: true}}]", []string{"spec.containers[0].securityContext.privileged is true, " + toFalse}},
		"with control characters are sanitised": {"{forbid: [ALL]}", adds(`"A\e[2J"`), []string{refused("0", `A\x1b[2J`, "ALL")}},
	})
}

func TestCapabilitiesOfExemptions(t *testing.T) {
	for name, c := range map[string]struct{ forbid, allow, add, refused string }{
		"opens what it names":                       {"[SYS_ADMIN, BPF]", "[cap_bpf]", "BPF", ""},
		"opens nothing else":                        {"[SYS_ADMIN, BPF]", "[BPF]", "SYS_ADMIN", "SYS_ADMIN"},
		"opens one of all":                          {"[ALL]", "[BPF]", "BPF", ""},
		"leaves all others forbidden":               {"[ALL]", "[BPF]", "CHOWN", "ALL but BPF"},
		"does not open all by opening some":         {"[SYS_ADMIN, BPF]", "[BPF]", "ALL", "SYS_ADMIN"},
		"does not open all by opening one of all":   {"[ALL]", "[BPF]", "ALL", "ALL but BPF"},
		"opens all by opening everything forbidden": {"[SYS_ADMIN, BPF]", "[BPF, SYS_ADMIN]", "ALL", ""},
		"opens all":                 {"[ALL, BPF]", "[ALL]", "ALL", ""},
		"opens each by opening all": {"[SYS_ADMIN]", "[ALL]", "SYS_ADMIN", ""},
		"opens what is forbidden twice, but the second": {"[BPF, cap_bpf, ALL]", "[BPF]", "PERFMON", "ALL but BPF"},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy(t, "portals: {capabilities: {forbid: "+c.forbid+"}}\n"+
				"exemptions: [{name: e, reason: r, namespaces: [shop], portals: {capabilities: {allow: "+c.allow+"}}}]")
			j := p.Judge(subject(t, "containers: [{name: app, securityContext: {capabilities: {add: ["+c.add+"]}}}]"))
			if c.refused == "" {
				expectMessages(t, j)
				return
			}
			expectMessages(t, j, "capabilities: spec.containers[0].securityContext.capabilities.add[0] is "+c.add+
				", which is not allowed: remove it; forbidden "+c.refused)
		})
	}
}

func TestExemptionOpensOfAPrivilegedContainerWhatItNames(t *testing.T) {
	const pod = "containers: [{name: app, securityContext: {privileged: true}}]"
	const field = ": spec.containers[0].securityContext.privileged is true, " + toFalse
	const demand = "portals: {privileged: Forbid, procMount: Forbid, devices: Forbid, capabilities: {forbid: [SYS_ADMIN]}}\n"
	judge := func(portals string) isolation.Judgement {
		return policy(t, demand+"exemptions: [{name: e, reason: r, namespaces: [shop], portals: {"+portals+"}}]").Judge(subject(t, pod))
	}
	expectMessages(t, judge("hostPaths: {}"), "privileged"+field, "capabilities"+field, "procMount"+field, "devices"+field)
	expectMessages(t, judge("privileged: Allow"), "capabilities"+field, "procMount"+field, "devices"+field)
	expectMessages(t, judge("privileged: Allow, procMount: Allow, devices: Allow, capabilities: {allow: [ALL]}"))
}

func TestEachSwitchOpensItsPortalOnly(t *testing.T) {
	pods := map[string]string{
		"privileged":         "containers: [{name: app, securityContext: {privileged: true}}]",
		"procMount":          "containers: [{name: app, securityContext: {procMount: Unmasked}}]",
		"mountPropagation":   "containers: [{name: app, volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]}]",
		"devices":            "containers: [{name: app, volumeDevices: [{name: v, devicePath: /v}]}]",
		"runtimeSockets":     "volumes: [{name: v, hostPath: {path: /run/crio}}]",
		"windowsHostProcess": "securityContext: {windowsOptions: {hostProcess: true}}",
		"hostProbes":         "containers: [{name: app, livenessProbe: {tcpSocket: {port: 1, host: h}}}]",
	}
	for forbidden, pod := range pods {
		for allowed := range pods {
			p := policy(t, "portals: {"+forbidden+": Forbid}\nexemptions: [{name: e, reason: r, namespaces: [shop], portals: {"+allowed+": Allow}}]")
			j := p.Judge(subject(t, pod))
			if opened := len(j.Violations) == 0; opened != (forbidden == allowed) {
				t.Errorf("%s is forbidden, %s is opened: %q", forbidden, allowed, messages(j))
			}
			if len(policy(t, "portals: {"+allowed+": Forbid}").Judge(subject(t, pod)).Violations) > 0 && allowed != forbidden && forbidden != "privileged" {
				t.Errorf("what %s is about violates %s as well", forbidden, allowed)
			}
		}
	}
}

func TestHostPathsThroughProcessesPassNowhere(t *testing.T) {
	for _, path := range []string{"/proc/1/root", "/proc/1/root/etc", "/proc//self/./cwd/x", "/proc/1/task/1/root", "/proc/1/map_files/1-2", "/dev/stdin"} {
		p := policy(t, "portals: {hostPaths: {allow: [{pathPrefix: /proc}, {pathPrefix: /dev}, {pathPrefix: /}]}}")
		expectMessages(t, p.Judge(subject(t, "volumes: [{name: v, hostPath: {path: "+path+"}}]")),
			"hostPaths: spec.volumes[0].hostPath.path is "+path+", which is not allowed: use a volume of another type; allowed /proc, /dev, /")
	}
}
