// SPDX-License-Identifier: Apache-2.0

package agent

import "strings"

// The grammar of cgroup paths. What container managers make, by example:
//
//	/kubepods/burstable/pod<UID>/<ID>                                              cgroupfs driver
//	/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<U_I_D>.slice/cri-containerd-<ID>.scope
//	/kubelet.slice/kubelet-kubepods.slice/…/kubelet-kubepods-pod<U_I_D>.slice/…    a cgroup root of its own (kind)
//	/docker/<ID>/kubelet/kubepods/pod<UID>/<ID>                                    a node that is a container
//	/system.slice/containerd.service/kubepods-pod<U_I_D>.slice:cri-containerd:<ID> drivers that do not agree
//	/../../pod<UID>/<ID>, /../cri-containerd-<ID>.scope, /                         from a private cgroup namespace
//	/docker/<ID>, /system.slice/docker-<ID>.scope, /machine.slice/libpod-<ID>.scope
//	/machine.slice/machine-libpod_pod_<POD>.slice/libpod-<ID>.scope/container
//	/system.slice/web.service/libpod-payload-<ID>                                  podman in a service (Quadlet)
//	/lxc/<NAME>, /lxc.payload.<NAME>, /machine.slice/machine-<NAME>.scope
//
// The first pod in a path wins: a container can make cgroups below its own that look like another
// pod's. It also wins over a container before it, for that is then the node.

const idLength = 64

// parsePath finds pod and container in a path. ancestors is the number of "/.." that it begins
// with; rest is what follows them.
func parsePath(path string) (at Attribution, ancestors int) {
	for strings.HasPrefix(path, "/..") && (len(path) == 3 || path[3] == '/') {
		path, ancestors = path[3:], ancestors+1
	}
	if len(path) <= 1 {
		return at, ancestors
	}
	var previous string
	// What was stripped may have been kubepods.
	inKubepods, stripped := ancestors > 0, ancestors > 0
	for rest := path[1:]; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if uid, leaf, ok := podSegment(segment, inKubepods, stripped); ok {
			return podAttribution(uid, leaf, rest), ancestors
		}
		switch {
		case segment == "kubepods":
			inKubepods, stripped = true, false
		case segment != "burstable" && segment != "besteffort":
			inKubepods = false
		}
		if at.Container == "" {
			at.outsideKubernetes(previous, segment, rest)
		}
		previous = segment
	}
	return at, ancestors
}

// podAttribution reads what follows a pod's cgroup.
func podAttribution(uid, leaf, rest string) Attribution {
	at := Attribution{PodUID: uid, Kubernetes: true}
	if leaf == "" {
		leaf, _, _ = strings.Cut(rest, "/")
	}
	if id, runtime, ok := containerSegment(leaf); ok {
		at.Container, at.Runtime = id, runtime
	}
	return at
}

// podSegment recognises the cgroup of a Kubernetes pod. leaf is the container's part of the form
// that has both in one segment.
func podSegment(segment string, inKubepods, stripped bool) (uid, leaf string, ok bool) {
	if name, found := strings.CutPrefix(segment, "pod"); found && inKubepods {
		uid, wellFormed := canonicalUID(name)
		// The author of a static pod may choose another form of UID. That is believed below
		// kubepods only.
		return uid, "", wellFormed || !stripped && name != ""
	}
	at := strings.Index(segment, "kubepods-")
	if at < 0 || at > 0 && segment[at-1] != '-' {
		return "", "", false
	}
	name := segment[at+len("kubepods-"):]
	name = strings.TrimPrefix(strings.TrimPrefix(name, "burstable-"), "besteffort-")
	name, found := strings.CutPrefix(name, "pod")
	if !found {
		return "", "", false
	}
	name, leaf, _ = strings.Cut(name, ":")
	if _, id, colon := strings.Cut(leaf, ":"); colon {
		// ":cri-containerd:<ID>": the runtime's prefix, then the ID.
		leaf = strings.TrimSuffix(leaf, ":"+id) + "-" + id
	}
	name = strings.TrimSuffix(name, ".slice")
	uid, _ = canonicalUID(name)
	return uid, leaf, name != ""
}

// canonicalUID is the UID as the API writes it. Well-formed are a UUID, whose dashes the systemd
// driver writes as underscores, and the 32 digits that a kubelet gives to static pods.
func canonicalUID(name string) (uid string, wellFormed bool) {
	switch len(name) {
	case 32:
		return name, isHex(name)
	case 36:
		for i := range len(name) {
			switch i {
			case 8, 13, 18, 23:
				if name[i] != '-' && name[i] != '_' {
					return name, false
				}
			default:
				if !isHexDigit(name[i]) {
					return name, false
				}
			}
		}
		return strings.ReplaceAll(name, "_", "-"), true
	default:
		return name, false
	}
}

// runtimes are known by the prefix that they give to a container's scope.
var runtimes = map[string]Runtime{
	"": "", "cri-containerd": Containerd, "containerd": Containerd, "nerdctl": Containerd,
	"crio": CRIO, "docker": Docker, "libpod": Podman, "libpod-payload": Podman,
}

// containerSegment recognises "<prefix>-<ID>.scope", with or without prefix and ".scope". The
// scopes of conmon, which watches a container from outside, are none.
func containerSegment(segment string) (id string, runtime Runtime, ok bool) {
	name := strings.TrimSuffix(segment, ".scope")
	if len(name) < idLength || !isHex(name[len(name)-idLength:]) {
		return "", "", false
	}
	prefix := name[:len(name)-idLength]
	if prefix != "" && prefix[len(prefix)-1] != '-' || strings.Contains(prefix, "conmon") {
		return "", "", false
	}
	return name[len(name)-idLength:], runtimes[strings.TrimSuffix(prefix, "-")], true
}

// outsideKubernetes recognises the cgroups of other container managers.
func (a *Attribution) outsideKubernetes(previous, segment, rest string) {
	next, _, _ := strings.Cut(rest, "/")
	if id, runtime, ok := containerSegment(segment); ok {
		a.Container, a.Runtime = id, runtime
		if runtime == "" && previous == "docker" {
			a.Runtime = Docker
		}
		return
	}
	if pod, ok := podmanPod(segment); ok {
		a.PodUID, a.Runtime = pod, Podman
		return
	}
	name, runtime := lxcName(previous, segment), LXC
	if name == "" {
		name, runtime = machineName(segment), Nspawn
	}
	if name != "" && next != "supervisor" {
		a.Container, a.Runtime = name, runtime
	}
}

// podmanPod recognises "<slice>-libpod_pod_<ID>.slice", as a slice within another is named, and the name alone,
// as the cgroupfs driver gives it.
func podmanPod(segment string) (id string, ok bool) {
	slice, id, found := strings.Cut(segment, "libpod_pod_")
	id = strings.TrimSuffix(id, ".slice")
	return id, found && (slice == "" || slice[len(slice)-1] == '-') && len(id) == idLength && isHex(id)
}

// lxcName is the name of an LXC container. lxc.monitor.<NAME> is its monitor, outside of it.
func lxcName(previous, segment string) string {
	if name, ok := strings.CutPrefix(segment, "lxc.payload."); ok {
		return name
	}
	if previous == "lxc" || previous == "lxc.payload" {
		return segment
	}
	return ""
}

// machineName is the name of a machine that systemd knows and that is no virtual one.
func machineName(segment string) string {
	if name, ok := strings.CutPrefix(segment, "systemd-nspawn@"); ok {
		name, _ = strings.CutSuffix(name, ".service")
		return name
	}
	name, ok := strings.CutPrefix(segment, "machine-")
	if !ok || strings.HasPrefix(name, "qemu") {
		return ""
	}
	if name, ok = strings.CutSuffix(name, ".scope"); !ok {
		return ""
	}
	return name
}

func isHex(s string) bool {
	for i := range len(s) {
		if !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
