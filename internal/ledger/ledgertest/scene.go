// SPDX-License-Identifier: Apache-2.0

// Package ledgertest makes small clusters for tests: pods, and what nodes report of them.
package ledgertest

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// Now is the moment at which tests begin.
var Now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// Scene is a cluster at one moment.
type Scene struct {
	Pods []corev1.Pod
	// Namespaces are the labels of each.
	Namespaces map[string]map[string]string
	// Reports and Agents, by the node's name: what it reported, and when its agent renewed its Lease.
	Reports map[string]*v1alpha1.NodeIsolationReport
	Agents  map[string]time.Time
	// Nodes that the API server has, by name.
	Nodes map[string]*corev1.Node
	// Handlers of the runtime classes, by the class's name.
	Handlers map[string]string
	// Volumes are PersistentVolumes, VolumesUnknown why there may be more of them.
	Volumes        []*corev1.PersistentVolume
	VolumesUnknown string
}

// World is a scene with one node, whose agent is alive, and no pods.
func World() Scene {
	return Scene{
		Namespaces: map[string]map[string]string{"shop": {"tenancy": "shared"}, "lab": {}},
		Reports:    map[string]*v1alpha1.NodeIsolationReport{"one": Report("one")},
		Agents:     map[string]time.Time{"one": Now.Add(-10 * time.Second)},
	}
}

// Ledger is told the scene from scratch.
func (s *Scene) Ledger(now time.Time, policies ...v1alpha1.IsolationPolicy) *ledger.Ledger {
	l := ledger.New(now)
	for name, labels := range s.Namespaces {
		l.SetNamespace(name, labels)
	}
	for name, r := range s.Reports {
		l.SetReport(name, r)
	}
	for name, at := range s.Agents {
		l.SetAgent(name, at)
	}
	for name, node := range s.Nodes {
		l.SetNode(name, ledger.KeepNode(node))
	}
	for name, handler := range s.Handlers {
		l.SetRuntimeClass(name, &handler)
	}
	for _, v := range s.Volumes {
		l.SetVolume(v)
	}
	l.SetVolumesUnknown(s.VolumesUnknown)
	for i := range s.Pods {
		l.SetPod(ledger.Keep(s.Pods[i].DeepCopy()))
	}
	l.SetPolicies(policies)
	return l
}

// Demanding is a Deny policy for all pods that demands pid Container and network Pod.
func Demanding(name string) v1alpha1.IsolationPolicy {
	return v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.IsolationPolicySpec{
			Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod"},
			Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny},
		},
	}
}

// MustCompile compiles a policy that is valid.
func MustCompile(p v1alpha1.IsolationPolicy) *isolation.Policy {
	c, err := isolation.Compile(&p)
	if err != nil {
		panic(err)
	}
	return c
}

// Running is a pod that has been running on node one for so long.
func Running(name string, age time.Duration) corev1.Pod {
	started := metav1.NewTime(Now.Add(-age))
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: started},
		Spec:       corev1.PodSpec{NodeName: "one", Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}},
		}},
	}
}

// Node is one whose kernel and runtime have user namespaces, in the handlers of these names.
func Node(name string, handlers ...string) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: string(corev1.Linux)}},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
			OperatingSystem: string(corev1.Linux), KernelVersion: "6.18.0", ContainerRuntimeVersion: "containerd://2.3.0",
		}},
	}
	for _, handler := range append([]string{""}, handlers...) {
		n.Status.RuntimeHandlers = append(n.Status.RuntimeHandlers, corev1.NodeRuntimeHandler{
			Name: handler, Features: &corev1.NodeRuntimeHandlerFeatures{UserNamespaces: ptr.To(true)},
		})
	}
	return n
}

// WindowsNode is a node that runs Windows.
func WindowsNode(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: string(corev1.Windows)}},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{OperatingSystem: string(corev1.Windows)}},
	}
}

// Claiming has a pod's container mount a claim.
func Claiming(pod *corev1.Pod, claim string) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}})
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: claim, MountPath: "/" + claim})
}

// NodeVolume is a hostPath PersistentVolume that is bound to a claim.
func NodeVolume(name, path, namespace, claim string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef:               &corev1.ObjectReference{Namespace: namespace, Name: claim, UID: types.UID("uid-" + claim)},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	}
}

// Isolated are the levels of a pod at its best.
var Isolated = v1alpha1.Levels{
	PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Pod", Cgroup: "Container", Time: "Host",
}

// OnHostPID are the levels of a pod in the node's process namespace.
func OnHostPID() v1alpha1.Levels {
	l := Isolated
	l.PID = v1alpha1.LevelHost
	return l
}

// Report is a report of an agent that looks and sees no pods.
func Report(node string, groups ...v1alpha1.ObservedGroup) *v1alpha1.NodeIsolationReport {
	return &v1alpha1.NodeIsolationReport{
		ObjectMeta: metav1.ObjectMeta{Name: node},
		Status: v1alpha1.NodeIsolationReportStatus{
			Groups: groups,
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLooking},
				{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEstablished},
			},
		},
	}
}

// Group names pods with the levels they were seen at, looked at closely.
func Group(levels v1alpha1.Levels, names ...string) v1alpha1.ObservedGroup {
	g := v1alpha1.ObservedGroup{Levels: levels, Inspected: true}
	for _, name := range names {
		g.Pods = append(g.Pods, v1alpha1.ObservedPod{UID: types.UID("uid-" + name)})
	}
	return g
}
