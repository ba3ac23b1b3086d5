// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// size of a cluster.
type size struct{ Nodes, Pods, Namespaces, Policies int }

// largest is what Kubernetes states as the limits of one cluster: 5,000 nodes and 150,000 pods
// (kubernetes.io, "Considerations for large clusters").
var largest = size{Nodes: 5_000, Pods: 150_000, Namespaces: 1_000, Policies: 50}

// part is a cluster so many times as small, with as many policies.
func (s size) part(of int) size {
	return size{Nodes: s.Nodes / of, Pods: s.Pods / of, Namespaces: s.Namespaces / of, Policies: s.Policies}
}

const (
	// replicas of each template.
	replicas = 30
	// teams share the namespaces; each has a policy of its own. The other policies match every pod.
	teams = 45
)

// world makes the objects of a cluster. What it makes depends on the size alone.
type world struct {
	size
	began time.Time
}

// Pods are laid out so that a node has pods of different templates, as a scheduler does it.
func (w *world) template(pod int) int       { return pod / replicas }
func (w *world) node(pod int) int           { return pod % w.Nodes }
func (w *world) namespaceOf(pod int) int    { return w.template(pod) % w.Namespaces }
func (w *world) team(namespace int) int     { return namespace % teams }
func (w *world) namespaceName(n int) string { return fmt.Sprintf("team-%02d-space-%04d", w.team(n), n) }
func (w *world) nodeName(n int) string      { return fmt.Sprintf("node-%04d.cluster.example.com", n) }
func (w *world) podUID(pod int) types.UID {
	return types.UID(fmt.Sprintf("8f3a1c52-0000-4000-8000-%012d", pod))
}
func (w *world) podName(pod int) string { return fmt.Sprintf("%s-7d4b9c6f5d-%05d", w.app(pod), pod) }
func (w *world) app(pod int) string     { return fmt.Sprintf("service-%04d", w.template(pod)) }

// violates: one template in fifty mounts a path of its node, which every policy forbids.
func (w *world) violates(pod int) bool { return w.template(pod)%50 == 0 }

// breaches: the first pod of one node in a hundred was seen in its node's process namespace.
func (w *world) breaches(pod int) bool { return pod < w.Nodes && pod%100 == 0 }

// pod as the API server stores it: two containers, and what people and controllers put there.
func (w *world) pod(i int) *corev1.Pod {
	started := metav1.NewTime(w.began.Add(-time.Hour))
	token := fmt.Sprintf("kube-api-access-%05d", i%100_000)
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.podName(i), GenerateName: w.app(i) + "-7d4b9c6f5d-", Namespace: w.namespaceName(w.namespaceOf(i)),
			UID: w.podUID(i), CreationTimestamp: started,
			Labels: map[string]string{
				"app.kubernetes.io/name": w.app(i), "app.kubernetes.io/managed-by": "Helm",
				"app.kubernetes.io/version": "1.42.0", "pod-template-hash": "7d4b9c6f5d",
			},
			Annotations: map[string]string{
				"checksum/config": strings.Repeat("4e1243bd22c66e76", 4), "prometheus.io/scrape": "true", "prometheus.io/port": "9090",
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: w.app(i) + "-7d4b9c6f5d", UID: types.UID(fmt.Sprintf("2d9e-%032d", w.template(i))),
				Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
			}},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{` + strings.Repeat(`"f:annotations":{".":{}},`, 50) + `"f:x":{}}}`),
			}},
		},
		Spec: corev1.PodSpec{
			NodeName: w.nodeName(w.node(i)), ServiceAccountName: w.app(i), RestartPolicy: corev1.RestartPolicyAlways,
			DNSPolicy: corev1.DNSClusterFirst, SchedulerName: "default-scheduler", EnableServiceLinks: ptr.To(true),
			Containers: []corev1.Container{w.container("app", token, 8080), w.container("metrics", token, 9090)},
			Volumes: []corev1.Volume{
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: w.app(i)}}}},
				{Name: token, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr.To[int64](3607)}},
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				}}}},
			},
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Tolerations: []corev1.Toleration{
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300)},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300)},
			},
		},
		Status: w.status(i, started),
	}
	if w.violates(i) {
		p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/app"}}
	}
	return p
}

func (w *world) container(name, token string, port int32) corev1.Container {
	c := corev1.Container{
		Name: name, Image: "registry.example.com/platform/" + name + ":1.42.0", ImagePullPolicy: corev1.PullIfNotPresent,
		Args:  []string{"--listen", fmt.Sprintf(":%d", port), "--config", "/etc/app/config.yaml", "--log-format", "json"},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "tmp", MountPath: "/tmp"}, {Name: "config", MountPath: "/etc/app", ReadOnly: true},
			{Name: token, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
	for i := range 6 {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("APP_SETTING_%d", i), Value: "https://backend.example.svc.cluster.local:8443/api/v1"})
	}
	return c
}

func (w *world) status(i int, started metav1.Time) corev1.PodStatus {
	s := corev1.PodStatus{
		Phase: corev1.PodRunning, HostIP: "10.1.2.3", PodIP: fmt.Sprintf("10.%d.%d.%d", 64+i>>16, i>>8&255, i&255), StartTime: &started, QOSClass: corev1.PodQOSBurstable,
	}
	for _, t := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: started})
	}
	for _, name := range []string{"app", "metrics"} {
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: name, Ready: true, Started: ptr.To(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}},
			Image: "registry.example.com/platform/" + name + ":1.42.0", ImageID: "registry.example.com/platform/" + name + "@sha256:" + strings.Repeat("4e1243bd", 8),
			ContainerID: "containerd://" + fmt.Sprintf("%064d", i),
		})
	}
	return s
}

// report of a node: all of its pods as they should be, in one group, but for the one that is not.
func (w *world) report(n int) *v1alpha1.NodeIsolationReport {
	levels := v1alpha1.Levels{PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Host", Cgroup: "Container", Time: "Host"}
	low := levels
	low.PID = v1alpha1.LevelHost
	now := metav1.NewTime(w.began)
	r := &v1alpha1.NodeIsolationReport{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "NodeIsolationReport"},
		ObjectMeta: metav1.ObjectMeta{Name: w.nodeName(n), UID: types.UID(fmt.Sprintf("5c0d-%032d", n)), CreationTimestamp: now, Generation: 1},
	}
	good, bad := v1alpha1.ObservedGroup{Levels: levels, Inspected: true}, v1alpha1.ObservedGroup{Levels: low, Inspected: true}
	for i := n; i < w.Pods; i += w.Nodes {
		seen := v1alpha1.ObservedPod{Namespace: w.namespaceName(w.namespaceOf(i)), Name: w.podName(i), UID: w.podUID(i)}
		if w.breaches(i) {
			bad.Pods = append(bad.Pods, seen)
		} else {
			good.Pods = append(good.Pods, seen)
		}
	}
	for _, g := range []v1alpha1.ObservedGroup{good, bad} {
		if len(g.Pods) > 0 {
			r.Status.Groups = append(r.Status.Groups, g)
		}
	}
	r.Status.PodsTotal = int32(len(good.Pods) + len(bad.Pods))
	r.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLooking, LastTransitionTime: now},
		{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEstablished, LastTransitionTime: now},
	}
	return r
}

// lease by which a node's agent says that it is alive.
func (w *world) lease(n int, now time.Time) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.nodeName(n), Namespace: v1alpha1.InstallNamespace, UID: types.UID(fmt.Sprintf("7e1f-%032d", n)),
			CreationTimestamp: metav1.NewTime(w.began), Labels: map[string]string{v1alpha1.LabelLease: v1alpha1.LeaseAgent},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("agent"), RenewTime: ptr.To(metav1.NewMicroTime(now)), LeaseDurationSeconds: ptr.To[int32](v1alpha1.AgentLeaseSeconds)},
	}
}

func (w *world) namespace(n int) *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.namespaceName(n), UID: types.UID(fmt.Sprintf("9a2b-%032d", n)), CreationTimestamp: metav1.NewTime(w.began),
			Labels: map[string]string{corev1.LabelMetadataName: w.namespaceName(n), "team": fmt.Sprint(w.team(n))},
		},
		Spec:   corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
		Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
	}
}

// nodeObject is a node as its kubelet writes it, with the fifty images that it names at most.
func (w *world) nodeObject(n int) *corev1.Node {
	node := &corev1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.nodeName(n), UID: types.UID(fmt.Sprintf("1b3c-%032d", n)), CreationTimestamp: metav1.NewTime(w.began),
			Labels: map[string]string{corev1.LabelOSStable: string(corev1.Linux), corev1.LabelHostname: w.nodeName(n)},
		},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
			OperatingSystem: string(corev1.Linux), KernelVersion: "6.18.0-amd64", ContainerRuntimeVersion: "containerd://2.3.0", KubeletVersion: "v1.37.2",
		}},
	}
	for _, handler := range []string{"", "runc"} {
		node.Status.RuntimeHandlers = append(node.Status.RuntimeHandlers, corev1.NodeRuntimeHandler{
			Name: handler, Features: &corev1.NodeRuntimeHandlerFeatures{RecursiveReadOnlyMounts: ptr.To(true), UserNamespaces: ptr.To(true)},
		})
	}
	for i := range 50 {
		name := fmt.Sprintf("registry.example.com/platform/image-%02d", i)
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{
			Names: []string{name + "@sha256:" + strings.Repeat("4e1243bd", 8), name + ":1.42.0"}, SizeBytes: 50 << 20,
		})
	}
	return node
}

// policies: one for each team, and the rest for every pod. None is carried out at admission.
func (w *world) policies() []v1alpha1.IsolationPolicy {
	var out []v1alpha1.IsolationPolicy
	for i := range w.Policies {
		p := v1alpha1.IsolationPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("everybody-%02d", i)},
			Spec: v1alpha1.IsolationPolicySpec{
				Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod", IPC: "Pod"},
				Portals:   &v1alpha1.Portals{HostPaths: &v1alpha1.HostPathsPortal{}, Privileged: v1alpha1.PortalForbid},
				Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Audit},
			},
		}
		if i < teams {
			p.Name = fmt.Sprintf("team-%02d", i)
			p.Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": fmt.Sprint(i)}}}
		}
		out = append(out, p)
	}
	return out
}

// counts are what a policy's status is to say; team is -1 for one that matches every pod.
func (w *world) counts(team int) v1alpha1.PodCounts {
	var n v1alpha1.PodCounts
	for i := range w.Pods {
		if team >= 0 && w.team(w.namespaceOf(i)) != team {
			continue
		}
		n.Matched++
		switch {
		case w.breaches(i):
			n.Breached++
		case w.violates(i):
			n.Violating++
		default:
			n.Compliant++
		}
	}
	return n
}
