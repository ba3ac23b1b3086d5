// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

const (
	uid        = "12345678-9abc-4def-8123-456789abcdef"
	underlined = "12345678_9abc_4def_8123_456789abcdef"
	otherUID   = "87654321-9abc-4def-8123-456789abcdef"
	static     = "0123456789abcdef0123456789abcdef"
)

var (
	id      = strings.Repeat("0123456789abcdef", 4)
	otherID = strings.Repeat("fedcba9876543210", 4)
)

func v2(path string) procns.Cgroups { return procns.Cgroups{{Path: path}} }

func v1(paths ...string) procns.Cgroups {
	var c procns.Cgroups
	for i := 0; i < len(paths); i += 2 {
		c = append(c, procns.CgroupEntry{HierarchyID: i + 1, Controllers: paths[i], Path: paths[i+1]})
	}
	return c
}

func pod(uid, container string, r Runtime) Attribution {
	return Attribution{PodUID: uid, Kubernetes: true, Container: container, Runtime: r}
}

func TestAttributionByCgroupPath(t *testing.T) {
	tests := map[string]struct {
		path string
		want Attribution
	}{
		"cgroupfs driver, besteffort":  {"/kubepods/besteffort/pod" + uid + "/" + id, pod(uid, id, "")},
		"cgroupfs driver, burstable":   {"/kubepods/burstable/pod" + uid + "/" + id, pod(uid, id, "")},
		"cgroupfs driver, guaranteed":  {"/kubepods/pod" + uid + "/" + id, pod(uid, id, "")},
		"cgroupfs driver, static pod":  {"/kubepods/burstable/pod" + static + "/" + id, pod(static, id, "")},
		"cgroupfs driver, cri-o":       {"/kubepods/besteffort/pod" + uid + "/crio-" + id, pod(uid, id, CRIO)},
		"a cgroup root of the node's":  {"/nodes/node-1/kubepods/besteffort/pod" + uid + "/" + id, pod(uid, id, "")},
		"a UID of the author's choice": {"/kubepods/podmine/" + id, pod("mine", id, "")},
		"systemd driver, containerd": {
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underlined + ".slice/cri-containerd-" + id + ".scope",
			pod(uid, id, Containerd)},
		"systemd driver, cri-o": {
			"/kubepods.slice/kubepods-pod" + underlined + ".slice/crio-" + id + ".scope", pod(uid, id, CRIO)},
		"systemd driver, crun's cgroup below": {
			"/kubepods.slice/kubepods-pod" + underlined + ".slice/crio-" + id + ".scope/container", pod(uid, id, CRIO)},
		"systemd driver, docker": {
			"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + underlined + ".slice/docker-" + id + ".scope",
			pod(uid, id, Docker)},
		"systemd driver, static pod": {
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + static + ".slice/cri-containerd-" + id + ".scope",
			pod(static, id, Containerd)},
		"kind, systemd": {
			"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + underlined +
				".slice/cri-containerd-" + id + ".scope", pod(uid, id, Containerd)},
		"kind, cgroupfs":        {"/kubelet/kubepods/besteffort/pod" + uid + "/" + id, pod(uid, id, "")},
		"kind, from its host":   {"/docker/" + otherID + "/kubelet/kubepods/besteffort/pod" + uid + "/" + id, pod(uid, id, "")},
		"kind, systemd on host": {"/system.slice/docker-" + otherID + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + underlined + ".slice/cri-containerd-" + id + ".scope", pod(uid, id, Containerd)},
		"drivers that do not agree, containerd": {
			"/system.slice/containerd.service/kubepods-besteffort-pod" + underlined + ".slice:cri-containerd:" + id, pod(uid, id, Containerd)},
		"drivers that do not agree, cri-o": {"/kubepods-pod" + underlined + ".slice:crio:" + id, pod(uid, id, CRIO)},
		"conmon in the pod's slice": {
			"/kubepods.slice/kubepods-pod" + underlined + ".slice/crio-conmon-" + id + ".scope", pod(uid, "", "")},
		"the pod's own cgroup":                 {"/kubepods/besteffort/pod" + uid, pod(uid, "", "")},
		"something else in the pod's cgroup":   {"/kubepods/besteffort/pod" + uid + "/hideout", pod(uid, "", "")},
		"relative, same class, cgroupfs":       {"/../../pod" + uid + "/" + id, pod(uid, id, "")},
		"relative, guaranteed, cgroupfs":       {"/../../../pod" + uid + "/" + id, pod(uid, id, "")},
		"relative, other class, cgroupfs":      {"/../../../burstable/pod" + uid + "/" + id, pod(uid, id, "")},
		"relative, systemd":                    {"/../../kubepods-besteffort-pod" + underlined + ".slice/cri-containerd-" + id + ".scope", pod(uid, id, Containerd)},
		"relative, other class, systemd":       {"/../../../kubepods-burstable.slice/kubepods-burstable-pod" + underlined + ".slice/crio-" + id + ".scope", pod(uid, id, CRIO)},
		"relative, a service of the node":      {"/../../../../system.slice/kubelet.service", Attribution{}},
		"relative, what only begins like one":  {"/../../podman.service/x", Attribution{}},
		"a pod nested in a pod's container":    {"/kubepods/pod" + uid + "/" + id + "/kubepods/pod" + otherUID + "/" + otherID, pod(uid, id, "")},
		"a container nested in a pod's":        {"/kubepods/pod" + uid + "/" + id + "/docker/" + otherID, pod(uid, id, "")},
		"docker, cgroupfs":                     {"/docker/" + id, Attribution{Container: id, Runtime: Docker}},
		"docker, systemd":                      {"/system.slice/docker-" + id + ".scope", Attribution{Container: id, Runtime: Docker}},
		"docker in docker":                     {"/docker/" + id + "/docker/" + otherID, Attribution{Container: id, Runtime: Docker}},
		"podman, rootful":                      {"/machine.slice/libpod-" + id + ".scope/container", Attribution{Container: id, Runtime: Podman}},
		"podman, rootless":                     {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope", Attribution{Container: id, Runtime: Podman}},
		"podman, pod":                          {"/machine.slice/machine-libpod_pod_" + otherID + ".slice/libpod-" + id + ".scope/container", Attribution{PodUID: otherID, Container: id, Runtime: Podman}},
		"podman, pod, rootless":                {"/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_" + otherID + ".slice/libpod-" + id + ".scope", Attribution{PodUID: otherID, Container: id, Runtime: Podman}},
		"podman, pod, its watcher":             {"/machine.slice/machine-libpod_pod_" + otherID + ".slice/libpod-conmon-" + id + ".scope", Attribution{PodUID: otherID, Runtime: Podman}},
		"podman, what only ends like a pod":    {"/machine.slice/mylibpod_pod_" + otherID + ".slice/x", Attribution{}},
		"podman, in a service":                 {"/system.slice/web.service/libpod-payload-" + id, Attribution{Container: id, Runtime: Podman}},
		"podman, pod, cgroupfs":                {"/libpod_parent/libpod_pod_" + otherID + "/libpod-" + id, Attribution{PodUID: otherID, Container: id, Runtime: Podman}},
		"podman, its watcher":                  {"/machine.slice/libpod-conmon-" + id + ".scope", Attribution{}},
		"lxc":                                  {"/lxc/web/system.slice/cron.service", Attribution{Container: "web", Runtime: LXC}},
		"lxc 4":                                {"/lxc.payload.web/init.scope", Attribution{Container: "web", Runtime: LXC}},
		"lxc, its monitor":                     {"/lxc.monitor.web", Attribution{}},
		"nspawn":                               {"/machine.slice/systemd-nspawn@deb.service/payload", Attribution{Container: "deb", Runtime: Nspawn}},
		"nspawn, its supervisor":               {"/machine.slice/systemd-nspawn@deb.service/supervisor", Attribution{}},
		"machine":                              {"/machine.slice/machine-deb.scope/payload/init.scope", Attribution{Container: "deb", Runtime: Nspawn}},
		"virtual machine":                      {`/machine.slice/machine-qemu\x2d1\x2dvm.scope/emulator`, Attribution{}},
		"nerdctl":                              {"/system.slice/nerdctl-" + id + ".scope", Attribution{Container: id, Runtime: Containerd}},
		"a cgroup parent of somebody's choice": {"/build/" + id, Attribution{Container: id}},
		"the root":                             {"/", Attribution{}},
		"nothing":                              {"", Attribution{}},
		"a service":                            {"/system.slice/ssh.service", Attribution{}},
		"a user's kubepods-like service":       {"/user.slice/mykubepods-pod" + underlined + ".slice/x", Attribution{}},
		"a session named pod":                  {"/user.slice/pod" + uid + "/x", Attribution{}},
		"an ID that is too short":              {"/docker/" + id[:63], Attribution{}},
		"an ID that is too long":               {"/docker/" + id + "0", Attribution{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := newAttributor(nil, Attribution{}).of(v2(test.path))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.path, diff)
			}
		})
	}
}

func TestAttributionByHierarchy(t *testing.T) {
	podPath := "/kubepods/besteffort/pod" + uid + "/" + id
	otherPath := "/kubepods/besteffort/pod" + otherUID + "/" + otherID
	tests := map[string]struct {
		cgroups procns.Cgroups
		want    Attribution
	}{
		"v1 names it in every hierarchy":        {v1("pids", podPath, "memory", podPath), pod(uid, id, "")},
		"hybrid, the unified one is empty":      {append(v1("name=systemd", podPath), v2("/")...), pod(uid, id, "")},
		"hybrid, the unified one is a service":  {append(v1("pids", podPath), v2("/system.slice/containerd.service")...), pod(uid, id, "")},
		"it left all hierarchies but one":       {v1("pids", "/", "memory", "/", "freezer", podPath), pod(uid, id, "")},
		"a pod beats another kind of container": {v1("name=systemd", "/docker/"+otherID, "blkio", podPath), pod(uid, id, "")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := newAttributor(nil, Attribution{}).of(test.cgroups)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("tells of hierarchies that name different pods, and prefers the one of systemd", func(t *testing.T) {
		got := newAttributor(nil, Attribution{}).of(v1("memory", otherPath, "name=systemd", podPath))
		want := pod(uid, id, "")
		want.Disagreement = "memory names pod " + otherUID + ", name=systemd pod " + uid
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAttributionFromAPrivateCgroupNamespace(t *testing.T) {
	self := pod(uid, id, "")
	private := v2("/../../../../init.scope")
	tests := map[string]struct {
		init procns.Cgroups
		path string
		want Attribution
	}{
		"its own container":                        {private, "/", self},
		"below its own container":                  {private, "/worker", self},
		"another container of its pod":             {private, "/../" + otherID, pod(uid, otherID, "")},
		"another container of its pod, systemd":    {private, "/../cri-containerd-" + otherID + ".scope", pod(uid, otherID, Containerd)},
		"another container of its pod, crun":       {private, "/../../crio-" + otherID + ".scope/container", pod(uid, otherID, CRIO)},
		"another pod":                              {private, "/../../pod" + otherUID + "/" + otherID, pod(otherUID, otherID, "")},
		"a service of the node":                    {private, "/../../../../system.slice/ssh.service", Attribution{}},
		"a docker container beside Kubernetes":     {private, "/../../../../docker/" + otherID, Attribution{Container: otherID, Runtime: Docker}},
		"the root, where the view is the node's":   {v2("/init.scope"), "/", Attribution{}},
		"a service, where the view is the node's":  {v2("/init.scope"), "/system.slice/ssh.service", Attribution{}},
		"the root, where the first process is too": {v2("/"), "/", Attribution{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := newAttributor(test.init, self).of(v2(test.path))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParsePath(f *testing.F) {
	for _, path := range []string{
		"/kubepods/besteffort/pod" + uid + "/" + id,
		"/kubelet.slice/kubelet-kubepods-pod" + underlined + ".slice/cri-containerd-" + id + ".scope",
		"/kubepods-pod" + underlined + ".slice:cri-containerd:" + id,
		"/../../pod" + static + "/crio-" + id + ".scope", "/..", "/../", "//", "/lxc/\x1b[2J\n", "/machine-.scope",
		"/machine-libpod_pod_" + id + ".slice/libpod-" + otherID + ".scope",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		at, ancestors := parsePath(path)
		if ancestors*3 > len(path) || strings.HasPrefix(path[3*ancestors:], "/../") {
			t.Errorf("%d ancestors in %q", ancestors, path)
		}
		if at.Container != "" && !strings.Contains(path, at.Container) {
			t.Errorf("container %q is not in %q", at.Container, path)
		}
		if at.Kubernetes && at.PodUID == "" {
			t.Errorf("a pod without a UID in %q", path)
		}
		if at.Kubernetes && !strings.Contains(path, "pod") {
			t.Errorf("a pod in %q", path)
		}
		// What a container makes below its own cgroup changes nothing.
		if at.Kubernetes && at.Container != "" {
			if below, _ := parsePath(path + "/kubepods/pod" + otherUID + "/" + id); below != at {
				t.Errorf("%q: %+v, below it %+v", path, at, below)
			}
		}
	})
}
