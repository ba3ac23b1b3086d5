// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// What an event says was done when a finding started or ended.
const (
	actionJudge     = "Judge"
	reasonRestored  = "IsolationRestored"
	maxEventMessage = 1000
)

// teller tells on pods when a finding starts and when it ends: once each.
type teller struct {
	recorder events.EventRecorder
	// told are the findings that stand, by policy.
	told map[types.UID]map[findingKey]bool
}

// findingKey identifies a finding of one policy.
type findingKey struct {
	pod     types.UID
	kind    v1alpha1.FindingKind
	subject string
}

func newTeller(recorder events.EventRecorder) *teller {
	return &teller{recorder: recorder, told: make(map[types.UID]map[findingKey]bool)}
}

// keysOf are the findings that are worth an event. That a pod has not been seen is told in the
// status: every pod begins so.
func keysOf(findings []v1alpha1.PolicyFinding) map[findingKey]bool {
	keys := make(map[findingKey]bool)
	for i := range findings {
		if findings[i].Kind != v1alpha1.Unverified {
			keys[keyOf(&findings[i])] = true
		}
	}
	return keys
}

func keyOf(f *v1alpha1.PolicyFinding) findingKey {
	return findingKey{f.UID, f.Kind, string(f.Axis) + f.Portal}
}

// tell compares the findings of a policy with those of before. Those of before a restart are in the
// policy's status.
func (t *teller) tell(f *facts, p *v1alpha1.IsolationPolicy, findings []v1alpha1.PolicyFinding) {
	before, known := t.told[p.UID]
	if !known {
		before = keysOf(p.Status.Findings)
	}
	now := keysOf(findings)
	t.told[p.UID] = now
	for i := range findings {
		finding := &findings[i]
		if key := keyOf(finding); now[key] && !before[key] {
			t.recorder.Eventf(podOf(finding), p, corev1.EventTypeWarning, string(finding.Kind), actionJudge,
				"%s", bounded("policy "+p.Name+": "+finding.Message))
		}
	}
	ended := make(map[types.UID][]findingKey)
	for key := range before {
		if !now[key] {
			ended[key.pod] = append(ended[key.pod], key)
		}
	}
	if len(ended) == 0 {
		return
	}
	for i := range f.pods {
		for _, key := range ended[f.pods[i].UID] {
			pod := reference(f.pods[i].Namespace, f.pods[i].Name, f.pods[i].UID)
			t.recorder.Eventf(pod, p, corev1.EventTypeNormal, reasonRestored, actionJudge,
				"policy %s: %s of %s has ended", p.Name, key.kind, key.subject)
		}
	}
}

// forget drops policies that are gone.
func (t *teller) forget(policies []v1alpha1.IsolationPolicy) {
	here := make(map[types.UID]bool, len(policies))
	for i := range policies {
		here[policies[i].UID] = true
	}
	for uid := range t.told {
		if !here[uid] {
			delete(t.told, uid)
		}
	}
}

func podOf(f *v1alpha1.PolicyFinding) *corev1.ObjectReference {
	return reference(f.Namespace, f.Pod, f.UID)
}

func reference(namespace, name string, uid types.UID) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name, UID: uid}
}

// bounded cuts a message to what an event may hold.
func bounded(s string) string {
	if len(s) <= maxEventMessage {
		return s
	}
	return s[:maxEventMessage] + "..."
}
