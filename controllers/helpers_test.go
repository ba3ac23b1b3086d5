// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// now is the moment of every test.
var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

var options = newWebhookOptions("bulkhead-system", []string{"kube-system"})

// world is an input with one node, whose agent is alive, and no pods.
func world() *input {
	return &input{
		Now:        now,
		Namespaces: map[string]labels.Set{"shop": {"tenancy": "shared"}, "lab": {}},
		Reports:    map[string]*v1alpha1.NodeIsolationReport{"one": report("one")},
		Agents:     map[string]time.Time{"one": now.Add(-10 * time.Second)},
		Replicas:   map[string]replica{},
	}
}

// demanding is a Deny policy for all pods that demands pid Container and network Pod.
func demanding(name string) v1alpha1.IsolationPolicy {
	return v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.IsolationPolicySpec{
			Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod"},
			Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny},
		},
	}
}

// running is a pod that has been running on node one for so long.
func running(name string, age time.Duration) corev1.Pod {
	started := metav1.NewTime(now.Add(-age))
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: started},
		Spec:       corev1.PodSpec{NodeName: "one", Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}},
		}},
	}
}

// isolated are the levels of a pod at its best.
var isolated = v1alpha1.Levels{
	PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Pod", Cgroup: "Container", Time: "Host",
}

// onHostPID are the levels of a pod in the node's process namespace.
func onHostPID() v1alpha1.Levels {
	l := isolated
	l.PID = v1alpha1.LevelHost
	return l
}

// report is a report of an agent that looks and sees no pods.
func report(node string, groups ...v1alpha1.ObservedGroup) *v1alpha1.NodeIsolationReport {
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

// group names pods with the levels they were seen at, looked at closely.
func group(levels v1alpha1.Levels, names ...string) v1alpha1.ObservedGroup {
	g := v1alpha1.ObservedGroup{Levels: levels, Inspected: true}
	for _, name := range names {
		g.Pods = append(g.Pods, v1alpha1.ObservedPod{UID: types.UID("uid-" + name)})
	}
	return g
}

// judgeOne judges by one policy.
func judgeOne(in *input, p v1alpha1.IsolationPolicy) *verdict {
	in.Policies = []v1alpha1.IsolationPolicy{p}
	j := judge(in, options)
	return &j.verdicts[0]
}

// existing are the pods of an input that have not ended.
func existing(in *input) map[types.UID]bool { j := judge(in, options); return j.exist }

func mustCompile(p v1alpha1.IsolationPolicy) *isolation.Policy {
	c, err := isolation.Compile(&p)
	if err != nil {
		panic(err)
	}
	return c
}
