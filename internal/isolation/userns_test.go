// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

const recent = `
nodeInfo: {kernelVersion: 6.12.0-amd64, containerRuntimeVersion: "containerd://2.4.2", operatingSystem: linux}
runtimeHandlers: [{name: "", features: {userNamespaces: true}}, {name: old, features: {userNamespaces: false}}]`

func TestObstaclesToAUserNamespace(t *testing.T) {
	const app = "containers: [{name: app"
	for _, c := range []struct{ name, spec, node, handler, want string }{
		{name: "nothing stands in the way of a plain pod", spec: app + "}]"},
		{name: "what the kubelet fills is on tmpfs or the node's disk", spec: app + `, volumeMounts: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}]}]
volumes: [{name: a, emptyDir: {medium: Memory}}, {name: b, configMap: {}}, {name: c, secret: {}}, {name: d, projected: {}}, {name: e, downwardAPI: {}}]`},
		{name: "an unmasked proc asks for a user namespace", spec: app + ", securityContext: {procMount: Unmasked}}]"},
		{name: "the API server refuses the node's network", spec: "hostNetwork: true\n" + app + "}]", want: "Refused HostNetwork spec.hostNetwork"},
		{name: "the API server refuses the node's processes and ipc", spec: "hostPID: true\nhostIPC: true\n" + app + "}]", want: "Refused HostPID spec.hostPID, Refused HostIPC spec.hostIPC"},
		{name: "the API server refuses raw block volumes", spec: app + "}]\ninitContainers: [{name: init, volumeDevices: [{name: disk}]}]", want: "Refused VolumeDevice spec.initContainers[0].volumeDevices"},
		{name: "the API server refuses it for Windows", spec: "os: {name: windows}\n" + app + "}]", want: "Refused Windows spec.os.name"},
		{name: "a network file system cannot be mapped", spec: app + ", volumeMounts: [{name: a}]}]\nvolumes: [{name: a, nfs: {server: s, path: /}}]", want: "Fails Volume spec.volumes[0].nfs"},
		{name: "a volume that nobody mounts is in nobody's way", spec: app + "}]\nvolumes: [{name: a, nfs: {server: s, path: /}}]"},
		{name: "what only a debug container mounts counts", spec: app + "}]\nephemeralContainers: [{name: d, volumeMounts: [{name: a}]}]\nvolumes: [{name: a, nfs: {server: s, path: /}}]", want: "Fails Volume spec.volumes[0].nfs"},
		{name: "the file system of a claim and of a path is not known", spec: app + ", volumeMounts: [{name: a}, {name: b}]}]\nvolumes: [{name: a, persistentVolumeClaim: {claimName: c}}, {name: b, hostPath: {path: /data}}]",
			want: "Unclear Volume spec.volumes[0].persistentVolumeClaim, Unclear Volume spec.volumes[1].hostPath"},
		{name: "a kind of volume that is not known is no pass", spec: app + ", volumeMounts: [{name: a}]}]\nvolumes: [{name: a}]", want: "Unclear Volume spec.volumes[0]"},
		{name: "huge pages are on a file system of their own", spec: app + ", volumeMounts: [{name: a}]}]\nvolumes: [{name: a, emptyDir: {medium: HugePages-2Mi}}]", want: "Unclear Volume spec.volumes[0].emptyDir.medium"},
		{name: "the highest ID that is mapped passes", spec: "securityContext: {runAsUser: 65535}\n" + app + "}]"},
		{name: "the lowest ID that is not mapped fails", spec: "securityContext: {fsGroup: 65536}\n" + app + ", securityContext: {runAsUser: 1000700000}}]",
			want: "Fails UserID spec.securityContext.fsGroup, Fails UserID spec.containers[0].securityContext.runAsUser"},
		{name: "privileged ends at the pod", spec: app + ", securityContext: {privileged: true}}]", want: "Weakens Privileged spec.containers[0].securityContext.privileged"},
		{name: "capabilities over the node are void, others are not", spec: app + ", securityContext: {capabilities: {add: [NET_ADMIN, cap_sys_module, ALL]}}}]",
			want: "Weakens Capability spec.containers[0].securityContext.capabilities.add[1], Weakens Capability spec.containers[0].securityContext.capabilities.add[2]"},
		{name: "a kernel before 6.3 cannot map tmpfs", spec: app + "}]", node: strings.Replace(recent, "6.12.0", "6.2.16", 1), want: "Fails Kernel status.nodeInfo.kernelVersion"},
		{name: "6.3 can", spec: app + "}]", node: strings.Replace(recent, "6.12.0-amd64", "6.3.0", 1)},
		{name: "a kernel that tells no version is not known", spec: app + "}]", node: strings.Replace(recent, "6.12.0-amd64", "unknown", 1), want: "Unclear Kernel status.nodeInfo.kernelVersion"},
		{name: "the kubelet's word on the handler counts", spec: app + "}]", handler: "old", want: "Fails Runtime status.runtimeHandlers"},
		{name: "a handler that the kubelet does not name is not known", spec: app + "}]", handler: "kata", want: "Unclear Runtime status.runtimeHandlers"},
		{name: "a runtime class that is not known is no pass", spec: app + "}]", handler: "?", want: "Unclear Runtime spec.runtimeClassName"},
		{name: "an old containerd cannot", spec: app + "}]", node: `nodeInfo: {kernelVersion: "6.8", containerRuntimeVersion: "containerd://1.7.20"}`, want: "Fails Runtime status.nodeInfo.containerRuntimeVersion"},
		{name: "an old CRI-O cannot", spec: app + "}]", node: `nodeInfo: {kernelVersion: "6.8", containerRuntimeVersion: "cri-o://1.24.1"}`, want: "Fails Runtime status.nodeInfo.containerRuntimeVersion"},
		{name: "a new runtime whose kubelet says nothing may have an old runc", spec: app + "}]", node: `nodeInfo: {kernelVersion: "6.8", containerRuntimeVersion: "containerd://2.1.0"}`, want: "Unclear Runtime status.runtimeHandlers"},
		{name: "a Windows node has none", spec: app + "}]", node: "nodeInfo: {operatingSystem: windows}", want: "Fails Windows status.nodeInfo.operatingSystem"},
		{name: "without a node nothing is known of it", spec: app + "}]", node: "none", want: "Unclear Node spec.nodeName"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var node *corev1.Node
			if c.node != "none" {
				node = &corev1.Node{}
				text := recent
				if c.node != "" {
					text = c.node
				}
				fromYAML(t, text, &node.Status)
			}
			handler := ptr.To(c.handler)
			if c.handler == "?" {
				handler = nil
			}
			var got []string
			for _, o := range isolation.UserNamespaceObstacles(podSpec(t, c.spec), isolation.NodeFactsOf(node), handler) {
				got = append(got, string(o.Kind)+" "+o.Reason+" "+o.Field)
				if !strings.HasPrefix(o.Message, o.Field) {
					t.Errorf("message %q does not begin with the field %s", o.Message, o.Field)
				}
			}
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, ", ")
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestAHostileVolumeNameIsEscapedInAnObstacle(t *testing.T) {
	spec := podSpec(t, `{containers: [{name: app, volumeMounts: [{name: "a\e[31m"}]}], volumes: [{name: "a\e[31m", hostPath: {path: /}}]}`)
	node := &corev1.Node{}
	fromYAML(t, recent, &node.Status)
	o := isolation.UserNamespaceObstacles(spec, isolation.NodeFactsOf(node), ptr.To(""))
	if len(o) != 1 || strings.ContainsRune(o[0].Message, '\x1b') {
		t.Errorf("got %+q", o)
	}
}
