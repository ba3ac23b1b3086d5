// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"cmp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Subject is what a policy judges: a pod, a pod template, or what an update adds to a pod.
type Subject struct {
	// Name of the pod; empty if it is not known yet. Claims of its own are named after it.
	Name string
	// Namespace of the pod, and its labels. If NamespaceUnknown is set the labels are not known,
	// and every namespaceSelector is taken to match: unknown never passes.
	Namespace        string
	NamespaceLabels  labels.Set
	NamespaceUnknown bool
	// Selection, if it is set, is [Policy.Selection] of policies that are known to match, whatever the
	// labels say that are known here: the API server selected the pod by their selectors.
	Selection string
	// Labels and Spec of the pod. An empty service account means "default", as the API server
	// makes it.
	Labels labels.Set
	Spec   *corev1.PodSpec
	// Created decides whether an exemption has expired.
	Created time.Time
	// Path is where Spec stands in its object, for messages: "spec" for a Pod.
	Path string
	// Debug are the names of the ephemeral containers that an update adds. If it is not nil,
	// they alone are judged, each on its own fields and on those that say which namespaces it
	// joins: they cannot be removed again, so judging what was there before would refuse every
	// later one (kubernetes/kubernetes#118961).
	Debug []string
	// Claims are the volumes to which claims of the pod are bound that show a part of the node's file
	// system, by the claim's name. Admission knows of none: a claim may be bound later.
	Claims map[string][]NodeVolume
	// ClaimsUnknown is the reason why Claims may lack some; empty if they are all.
	ClaimsUnknown string
}

// NewSubject is a running or created pod as a subject.
func NewSubject(pod *corev1.Pod, namespaceLabels map[string]string) *Subject {
	return &Subject{
		Name: pod.Name, Namespace: pod.Namespace, NamespaceLabels: namespaceLabels,
		Labels: pod.Labels, Spec: &pod.Spec, Created: pod.CreationTimestamp.Time, Path: "spec",
	}
}

// Ended tells whether a pod's containers are gone for good. A pod that is being deleted has not ended:
// its processes are still there.
func Ended(pod *corev1.Pod) bool { return EndedIn(pod.Status.Phase) }

// EndedIn is [Ended] of a pod in that phase.
func EndedIn(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

// serviceAccount is what the API server makes of both fields; the former name of the field fills in
// for the present one.
func (s *Subject) serviceAccount() string {
	return cmp.Or(s.Spec.ServiceAccountName, s.Spec.DeprecatedServiceAccount, "default")
}

// A scope is the part of a subject that is judged at once: the pod with the containers that it
// is created with, or its ephemeral containers. They differ in who is exempt.
type scope struct {
	*Subject
	ephemeral bool
}

// container is one container in its place.
type container struct {
	list  string // name of the list under the spec
	index int
	*corev1.Container
}

// path is the container's place, followed by suffix.
func (s scope) path(c container, suffix string) string {
	return s.Path + "." + c.list + "[" + strconv.Itoa(c.index) + "]" + suffix
}

// containers visits the containers in scope, init containers (sidecars are among them) first.
func (s scope) containers(visit func(container)) {
	if s.ephemeral {
		for i := range s.Spec.EphemeralContainers {
			e := &s.Spec.EphemeralContainers[i]
			if s.judges(e) {
				// The API keeps the two types field by field alike for this conversion.
				visit(container{"ephemeralContainers", i, (*corev1.Container)(&e.EphemeralContainerCommon)})
			}
		}
		return
	}
	for i := range s.Spec.InitContainers {
		visit(container{"initContainers", i, &s.Spec.InitContainers[i]})
	}
	for i := range s.Spec.Containers {
		visit(container{"containers", i, &s.Spec.Containers[i]})
	}
}

// runs tells whether a container is in scope: it then joins the namespaces of the pod's sandbox.
func (s scope) runs() bool {
	if !s.ephemeral {
		return true
	}
	for i := range s.Spec.EphemeralContainers {
		if s.judges(&s.Spec.EphemeralContainers[i]) {
			return true
		}
	}
	return false
}

// remedyOfPod is what would pass instead of a field by which a pod gives up a namespace, or becomes a
// process of a Windows host: a debug container shares that with the pod, whose field cannot be changed
// any more. An exemption of the pod does not cover it by itself.
func (s scope) remedyOfPod(remedy string) string {
	if s.ephemeral {
		return RemedyInPod
	}
	return remedy
}

// RemedyInPod is the remedy for a debug container in a pod that gives up what it may not have.
const RemedyInPod = "a debug container shares it with its pod: debug another pod, or exempt it with ephemeralContainers: true"

// judges tells whether an ephemeral container is in scope.
func (s scope) judges(e *corev1.EphemeralContainer) bool {
	if s.Debug == nil {
		return true
	}
	for _, name := range s.Debug {
		if name == e.Name {
			return true
		}
	}
	return false
}
