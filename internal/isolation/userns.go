// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/ptr"
)

/*
What stands between a pod and a user namespace of its own (hostUsers: false).

Spec, and where each fact is from:
  spec.hostNetwork, hostPID, hostIPC, spec.{…}[*].volumeDevices
      refused by the API server (validateHostUsers in Kubernetes' pkg/apis/core/validation, 1.34 to
      1.37). Since 1.35 the alpha feature UserNamespacesHostNetworkSupport (KEP-5607) lets hostNetwork
      pass, where it is on
  spec.os.name
      "cannot be set for a windows pod" (the same file)
  spec.volumes[*]
      what is mounted must be on file systems that know ID-mapped mounts; if not, the runtime fails
      (KEP-127, "Handling of volumes"). Which do tells mount_setattr(2); nfs and cifs do not. tmpfs, on
      which Secrets and tokens are, does since Linux 6.3 (Kubernetes' page "User Namespaces")
  spec.securityContext and spec.{…}[*].securityContext: runAsUser, runAsGroup, fsGroup, supplementalGroups
      0 to 65535 are mapped, unless the kubelet's userNamespaces.idsPerPod says more (the same page)
  spec.{…}[*].securityContext.privileged, capabilities.add
      hold in the pod's user namespace only: SYS_ADMIN (the same page), and SYS_MODULE, SYS_TIME and
      MKNOD do nothing there (user_namespaces(7))

Node:
  status.runtimeHandlers[*].features.userNamespaces
      the kubelet does not start the pod where it is false (GetOrCreateUserNamespaceMappings in
      Kubernetes' pkg/kubelet/userns)
  status.nodeInfo.kernelVersion, containerRuntimeVersion
      Linux 6.3, containerd 2.0, CRI-O 1.25 (the page "User Namespaces"). The OCI runtime, of which it
      takes runc 1.2 or crun 1.9, is told by status.runtimeHandlers alone
*/

// ObstacleKind says what happens if a pod sets hostUsers: false in spite of an obstacle.
type ObstacleKind string

const (
	// ObstacleRefused: the API server refuses the pod.
	ObstacleRefused ObstacleKind = "Refused"
	// ObstacleFails: the pod is admitted, and does not start on its node, or does not work there.
	ObstacleFails ObstacleKind = "Fails"
	// ObstacleWeakens: the pod starts, and has less power over its node than it asks for.
	ObstacleWeakens ObstacleKind = "Weakens"
	// ObstacleUnclear: whether it works cannot be told from spec and node.
	ObstacleUnclear ObstacleKind = "Unclear"
)

// ObstacleSort is what obstacles are counted by: there are few.
type ObstacleSort struct {
	// Reason is one of few words.
	Reason string
	Kind   ObstacleKind
}

// Obstacle stands between a pod and a user namespace of its own.
type Obstacle struct {
	ObstacleSort
	sort obstacleSort
	// Field of the pod, or of its node, that shows it.
	Field string
	// Message is one sentence, sanitised.
	Message string
}

// Reasons of obstacles.
const (
	ObstacleHostNetwork  = "HostNetwork"
	ObstacleHostPID      = "HostPID"
	ObstacleHostIPC      = "HostIPC"
	ObstacleVolumeDevice = "VolumeDevice"
	ObstacleVolume       = "Volume"
	ObstacleWindows      = "Windows"
	ObstacleUserID       = "UserID"
	ObstaclePrivileged   = "Privileged"
	ObstacleCapability   = "Capability"
	ObstacleKernel       = "Kernel"
	ObstacleRuntime      = "Runtime"
	ObstacleNode         = "Node"
)

// obstacleSort is the place of a sort among all that there are, so that a bit can stand for it.
type obstacleSort uint8

const (
	hostNetworkRefused obstacleSort = iota
	hostPIDRefused
	hostIPCRefused
	volumeDeviceRefused
	volumeFails
	volumeUnclear
	windowsRefused
	windowsFails
	userIDFails
	privilegedWeakens
	capabilityWeakens
	kernelFails
	kernelUnclear
	runtimeFails
	runtimeUnclear
	nodeUnclear
	obstacleSorts // how many there are
)

var sortOf = [obstacleSorts]ObstacleSort{
	hostNetworkRefused:  {ObstacleHostNetwork, ObstacleRefused},
	hostPIDRefused:      {ObstacleHostPID, ObstacleRefused},
	hostIPCRefused:      {ObstacleHostIPC, ObstacleRefused},
	volumeDeviceRefused: {ObstacleVolumeDevice, ObstacleRefused},
	volumeFails:         {ObstacleVolume, ObstacleFails},
	volumeUnclear:       {ObstacleVolume, ObstacleUnclear},
	windowsRefused:      {ObstacleWindows, ObstacleRefused},
	windowsFails:        {ObstacleWindows, ObstacleFails},
	userIDFails:         {ObstacleUserID, ObstacleFails},
	privilegedWeakens:   {ObstaclePrivileged, ObstacleWeakens},
	capabilityWeakens:   {ObstacleCapability, ObstacleWeakens},
	kernelFails:         {ObstacleKernel, ObstacleFails},
	kernelUnclear:       {ObstacleKernel, ObstacleUnclear},
	runtimeFails:        {ObstacleRuntime, ObstacleFails},
	runtimeUnclear:      {ObstacleRuntime, ObstacleUnclear},
	nodeUnclear:         {ObstacleNode, ObstacleUnclear},
}

// mappedIDs is how many user and group IDs a pod with a user namespace has, unless its kubelet says more.
const mappedIDs = 65536

// NodeFacts are what of a node decides whether a pod on it can have a user namespace of its own.
type NodeFacts struct {
	OperatingSystem, KernelVersion string
	// RuntimeVersion names the container runtime, and its version: "containerd://2.1.0".
	RuntimeVersion string
	// Handlers are those of the runtime of which the kubelet says whether they have user namespaces.
	Handlers []HandlerFacts
}

// HandlerFacts are what the kubelet says of a handler of its runtime; the empty name is the default's.
type HandlerFacts struct {
	Name           string
	UserNamespaces bool
}

// NodeFactsOf takes them from a node; nil if there is none.
func NodeFactsOf(node *corev1.Node) *NodeFacts {
	if node == nil {
		return nil
	}
	info := &node.Status.NodeInfo
	f := &NodeFacts{OperatingSystem: info.OperatingSystem, KernelVersion: info.KernelVersion, RuntimeVersion: info.ContainerRuntimeVersion}
	for i := range node.Status.RuntimeHandlers {
		if h := &node.Status.RuntimeHandlers[i]; h.Features != nil && h.Features.UserNamespaces != nil {
			f.Handlers = append(f.Handlers, HandlerFacts{h.Name, *h.Features.UserNamespaces})
		}
	}
	return f
}

// Same tells whether two nodes are the same in this; nil is a node that is not known.
func (n *NodeFacts) Same(other *NodeFacts) bool {
	if n == nil || other == nil {
		return n == other
	}
	return n.OperatingSystem == other.OperatingSystem && n.KernelVersion == other.KernelVersion &&
		n.RuntimeVersion == other.RuntimeVersion && slices.Equal(n.Handlers, other.Handlers)
}

// userNamespaces is what the kubelet says of a handler; told is false if it says nothing.
func (n *NodeFacts) userNamespaces(handler string) (able, told bool) {
	for i := range n.Handlers {
		if n.Handlers[i].Name == handler {
			return n.Handlers[i].UserNamespaces, true
		}
	}
	return false, false
}

// HandlerOf is the handler of a pod's runtime class, of which handlers has all, by name: empty for the default; nil
// if there is no such class.
func HandlerOf(spec *corev1.PodSpec, handlers map[string]string) *string {
	class := ptr.Deref(spec.RuntimeClassName, "")
	handler, known := handlers[class]
	if class != "" && !known {
		return nil
	}
	return &handler
}

// UserNamespaceObstacles lists what stands between a pod and hostUsers: false, the fields of its spec
// first; empty if nothing does. node is the one where it runs, nil if there is none or it is not known.
// handler is that of its runtime class, empty for the default, nil if it is not known.
//
// What is not known is an obstacle too, of the kind Unclear: unknown is never a pass.
func UserNamespaceObstacles(spec *corev1.PodSpec, node *NodeFacts, handler *string) []Obstacle {
	var o obstacles
	o.ofPod(spec)
	mounted := make(map[string]bool)
	subject := &Subject{Spec: spec, Path: "spec"}
	for _, s := range []scope{{Subject: subject}, {Subject: subject, ephemeral: true}} {
		s.containers(func(c container) {
			o.ofContainer(s, c)
			for i := range c.VolumeMounts {
				mounted[c.VolumeMounts[i].Name] = true
			}
		})
	}
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; mounted[v.Name] {
			o.ofVolume("spec.volumes["+strconv.Itoa(i)+"]", v)
		}
	}
	o.ofNode(node, handler)
	return o
}

type obstacles []Obstacle

func (o *obstacles) add(sort obstacleSort, field, message string) {
	*o = append(*o, Obstacle{ObstacleSort: sortOf[sort], sort: sort, Field: field, Message: Sanitize(field+message, 1024)})
}

func (o *obstacles) ofPod(spec *corev1.PodSpec) {
	const refused = " is true: the API server refuses it together with hostUsers: false"
	if spec.HostNetwork {
		o.add(hostNetworkRefused, "spec.hostNetwork", refused+", but where its alpha feature UserNamespacesHostNetworkSupport is on")
	}
	if spec.HostPID {
		o.add(hostPIDRefused, "spec.hostPID", refused)
	}
	if spec.HostIPC {
		o.add(hostIPCRefused, "spec.hostIPC", refused)
	}
	if spec.OS != nil && spec.OS.Name == corev1.Windows {
		o.add(windowsRefused, "spec.os.name", " is windows: hostUsers cannot be set for a Windows pod")
	}
	if c := spec.SecurityContext; c != nil {
		const at = "spec.securityContext."
		o.ofID(at+"runAsUser", c.RunAsUser)
		o.ofID(at+"runAsGroup", c.RunAsGroup)
		o.ofID(at+"fsGroup", c.FSGroup)
		for i := range c.SupplementalGroups {
			o.ofID(at+"supplementalGroups["+strconv.Itoa(i)+"]", &c.SupplementalGroups[i])
		}
	}
}

func (o *obstacles) ofID(field string, id *int64) {
	if id != nil && *id >= mappedIDs {
		o.add(userIDFails, field, " is "+strconv.FormatInt(*id, 10)+
			": IDs from 65536 on are not mapped, unless the kubelet's userNamespaces.idsPerPod says more")
	}
}

func (o *obstacles) ofContainer(s scope, c container) {
	if len(c.VolumeDevices) > 0 {
		o.add(volumeDeviceRefused, s.path(c, ".volumeDevices"), " is set: the API server refuses raw block volumes together with hostUsers: false")
	}
	if c.SecurityContext == nil {
		return
	}
	if c.SecurityContext.RunAsUser != nil || c.SecurityContext.RunAsGroup != nil {
		o.ofID(s.path(c, ".securityContext.runAsUser"), c.SecurityContext.RunAsUser)
		o.ofID(s.path(c, ".securityContext.runAsGroup"), c.SecurityContext.RunAsGroup)
	}
	if isPrivileged(c) {
		o.add(privilegedWeakens, s.path(c, ".securityContext.privileged"), " is true: in a user namespace its power ends at the pod, and what it does to the node fails")
		return
	}
	if c.SecurityContext.Capabilities == nil {
		return
	}
	for i, added := range c.SecurityContext.Capabilities.Add {
		switch name := capabilityName(string(added)); name {
		case "ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_TIME", "MKNOD":
			o.add(capabilityWeakens, s.path(c, ".securityContext.capabilities.add["+strconv.Itoa(i)+"]"),
				" is "+name+": in a user namespace it does not reach beyond the pod")
		}
	}
}

// ofVolume judges a volume that is mounted, by the file system that it is on.
func (o *obstacles) ofVolume(field string, v *corev1.Volume) {
	unclear := func(source, of string) {
		o.add(volumeUnclear, field+"."+source, " of volume "+quote(v.Name)+": the file system of "+of+
			" must know ID-mapped mounts (ext4, xfs, btrfs, tmpfs and others do), and a spec does not tell which it is")
	}
	cannot := func(source, system string) {
		o.add(volumeFails, field+"."+source, " of volume "+quote(v.Name)+": "+system+" does not know ID-mapped mounts, and the runtime cannot mount it")
	}
	switch {
	case v.ConfigMap != nil, v.Secret != nil, v.DownwardAPI != nil, v.Projected != nil:
	case v.EmptyDir != nil:
		if strings.HasPrefix(string(v.EmptyDir.Medium), string(corev1.StorageMediumHugePages)) {
			unclear("emptyDir.medium", "huge pages")
		}
	case v.NFS != nil:
		cannot("nfs", "NFS")
	case v.AzureFile != nil:
		cannot("azureFile", "SMB")
	case v.HostPath != nil:
		unclear("hostPath", "this path of the node")
	case v.PersistentVolumeClaim != nil:
		unclear("persistentVolumeClaim", "what the claim is bound to")
	case v.Ephemeral != nil:
		unclear("ephemeral", "what its claim is bound to")
	case v.CSI != nil:
		unclear("csi", "what the driver mounts")
	default:
		o.add(volumeUnclear, field, " is volume "+quote(v.Name)+" of another kind: whether its file system knows ID-mapped mounts a spec does not tell")
	}
}

// ofNode judges the kernel and the runtime.
func (o *obstacles) ofNode(node *NodeFacts, handler *string) {
	if node == nil {
		o.add(nodeUnclear, "spec.nodeName", " names no node that is known: kernel and runtime cannot be judged")
		return
	}
	if node.OperatingSystem == string(corev1.Windows) {
		o.add(windowsFails, "status.nodeInfo.operatingSystem", " of its node is windows, which has no user namespaces")
		return
	}
	o.atLeast(kernelFails, kernelUnclear, "status.nodeInfo.kernelVersion", node.KernelVersion, "6.3", "Linux")
	o.ofRuntime(node, handler)
}

// atLeast demands a version of the node.
func (o *obstacles) atLeast(fails, unclear obstacleSort, field, has, least, of string) {
	switch v, err := version.ParseGeneric(has); {
	case err != nil:
		o.add(unclear, field, " of its node is "+quote(has)+", which is no version: "+of+" "+least+" is needed")
	case v.LessThan(version.MustParseGeneric(least)):
		o.add(fails, field, " of its node is "+quote(has)+": "+of+" "+least+" is needed")
	}
}

// ofRuntime takes the kubelet's word for what the runtime can, where it gives it: that covers the OCI
// runtime too. Where it does not, an old runtime is known to be unable, and no other to be able.
func (o *obstacles) ofRuntime(node *NodeFacts, handler *string) {
	const field = "status.runtimeHandlers"
	if handler == nil {
		o.add(runtimeUnclear, "spec.runtimeClassName", " names a runtime class that is not known")
		return
	}
	if able, told := node.userNamespaces(*handler); told {
		if !able {
			o.add(runtimeFails, field, " of its node says that handler "+quote(*handler)+" of "+
				quote(node.RuntimeVersion)+" has no user namespaces: the kubelet does not start the pod")
		}
		return
	}
	name, has, _ := strings.Cut(node.RuntimeVersion, "://")
	const versionField = "status.nodeInfo.containerRuntimeVersion"
	before := len(*o)
	switch name {
	case "containerd":
		o.atLeast(runtimeFails, runtimeUnclear, versionField, has, "2.0", name)
	case "cri-o":
		o.atLeast(runtimeFails, runtimeUnclear, versionField, has, "1.25", name)
	}
	if len(*o) == before {
		o.add(runtimeUnclear, field, " of its node does not tell whether handler "+quote(*handler)+" has user namespaces")
	}
}
