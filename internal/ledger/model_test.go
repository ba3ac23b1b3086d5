// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// The model is a small cluster in which anything may happen at any time. A ledger is told every step
// of it, another one the whole of it from scratch, and a third time it is counted without any ledger.
const (
	modelPods     = 24
	modelPolicies = 5
)

type model struct {
	*rand.Rand
	now      time.Time
	scene    ledgertest.Scene
	policies map[string]v1alpha1.IsolationPolicy
	pods     map[string]corev1.Pod
	volumes  map[string]*corev1.PersistentVolume
	uids     int
	ledger   *ledger.Ledger
	// told is what was said of the pods of each namespace, asked again only where something changed.
	told map[string][]ledger.Assessed
}

func newModel(seed uint64) *model {
	m := &model{
		Rand: rand.New(rand.NewPCG(seed, seed)), now: ledgertest.Now, policies: map[string]v1alpha1.IsolationPolicy{}, pods: map[string]corev1.Pod{},
		volumes: map[string]*corev1.PersistentVolume{},
		told:    map[string][]ledger.Assessed{},
		scene:   ledgertest.Scene{Namespaces: map[string]map[string]string{}, Reports: map[string]*v1alpha1.NodeIsolationReport{}, Agents: map[string]time.Time{}, Nodes: map[string]*corev1.Node{}, Handlers: map[string]string{}},
	}
	m.ledger = ledger.New(m.now)
	return m
}

// odds is true once in n times.
func (m *model) odds(n int) bool { return m.IntN(n) == 0 }

func pick[T any](m *model, of ...T) T { return of[m.IntN(len(of))] }

func (m *model) namespaceName() string { return pick(m, "shop", "lab", "ops") }
func (m *model) nodeName() string      { return pick(m, "one", "two", "three") }

// step changes one thing, in the scene and in the ledger, and tells what it was.
func (m *model) step() string {
	switch m.IntN(12) {
	case 0, 1, 2:
		return m.changePod()
	case 3:
		return m.changeNamespace()
	case 4, 5:
		return m.changeReport()
	case 6:
		return m.changeAgent()
	case 7:
		return m.changePolicy()
	case 8:
		return m.changeVolume()
	case 9:
		return m.changeNode()
	case 10:
		return m.changeRuntimeClass()
	default:
		m.now = m.now.Add(time.Duration(m.IntN(60_000)) * time.Millisecond)
		m.ledger.Advance(m.now)
		return "time passes"
	}
}

func (m *model) changePod() string {
	namespace, name := m.namespaceName(), fmt.Sprintf("pod-%d", m.IntN(modelPods/3))
	key := namespace + "/" + name
	pod, there := m.pods[key]
	switch {
	case there && m.odds(6):
		delete(m.pods, key)
		m.ledger.DeletePod(types.NamespacedName{Namespace: namespace, Name: name})
		return "delete pod " + key
	case !there || m.odds(8):
		pod = m.newPod(namespace, name)
	default:
		pod = *pod.DeepCopy()
		m.evolve(&pod)
	}
	m.pods[key] = pod
	m.ledger.SetPod(ledger.Keep(pod.DeepCopy()))
	return "set pod " + key
}

func (m *model) newPod(namespace, name string) corev1.Pod {
	m.uids++
	pod := ledgertest.Running(name, 0)
	pod.Namespace, pod.UID = namespace, types.UID(fmt.Sprintf("uid-%d", m.uids))
	pod.CreationTimestamp = metav1.NewTime(m.now)
	pod.Spec.HostPID, pod.Spec.HostNetwork = m.odds(4), m.odds(4)
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	pod.Spec.NodeName = ""
	if m.odds(2) {
		m.evolve(&pod)
	}
	if m.odds(2) {
		ledgertest.Claiming(&pod, m.claimName())
	}
	if m.odds(8) {
		pod.Spec.OS = &corev1.PodOS{Name: pick(m, corev1.Windows, corev1.Linux)}
	}
	if m.odds(3) {
		pod.Spec.HostUsers = pick(m, ptr.To(false), ptr.To(true))
	}
	if m.odds(3) {
		pod.Spec.RuntimeClassName = ptr.To(m.className())
	}
	if m.odds(8) {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: ptr.To[int64](70_000)}
	}
	if m.odds(3) {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "own", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}})
	}
	if m.odds(6) {
		for i := range pick(m, 2, 2, 2, 60) {
			pod.Spec.Containers[0].Ports = append(pod.Spec.Containers[0].Ports, corev1.ContainerPort{HostPort: int32(i + 1)})
		}
	}
	return pod
}

// evolve lets a pod live on: it gets a node, runs, is labelled, ends.
func (m *model) evolve(pod *corev1.Pod) {
	started := metav1.NewTime(m.now.Add(-time.Duration(m.IntN(90)) * time.Second))
	switch {
	case pod.Spec.NodeName == "":
		pod.Spec.NodeName = m.nodeName()
	case pod.Status.Phase == corev1.PodPending && m.odds(3):
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}}}
	case pod.Status.Phase == corev1.PodPending || m.odds(4):
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started}
	case m.odds(4):
		pod.Status.Phase = pick(m, corev1.PodSucceeded, corev1.PodFailed)
	default:
		pod.Labels = map[string]string{"app": pick(m, "web", "batch")}
	}
}

func (m *model) className() string { return pick(m, "gvisor", "kata") }

// changeNode changes what the API server has of a node: it comes, goes, is upgraded, or is another one of the name.
func (m *model) changeNode() string {
	name := m.nodeName()
	if m.odds(4) {
		delete(m.scene.Nodes, name)
		m.ledger.SetNode(name, nil)
		return "delete node " + name
	}
	node := ledgertest.Node(name, "runsc")
	if m.odds(3) {
		node = ledgertest.WindowsNode(name)
	}
	if m.odds(3) {
		node.Status.NodeInfo.KernelVersion = pick(m, "5.15.0", "?")
	}
	switch m.IntN(4) {
	case 0:
		node.Status.RuntimeHandlers = nil
		node.Status.NodeInfo.ContainerRuntimeVersion = pick(m, "containerd://1.7.1", "containerd://2.0.0", "docker://1")
	case 1:
		for i := range node.Status.RuntimeHandlers {
			node.Status.RuntimeHandlers[i].Features.UserNamespaces = pick(m, ptr.To(true), ptr.To(false), nil)
		}
	}
	m.scene.Nodes[name] = node
	m.ledger.SetNode(name, ledger.KeepNode(node))
	return "set node " + name
}

func (m *model) changeRuntimeClass() string {
	name := m.className()
	if m.odds(3) {
		delete(m.scene.Handlers, name)
		m.ledger.SetRuntimeClass(name, nil)
		return "delete runtime class " + name
	}
	handler := pick(m, "runsc", "other", "")
	m.scene.Handlers[name] = handler
	m.ledger.SetRuntimeClass(name, &handler)
	return "set runtime class " + name
}

func (m *model) changeNamespace() string {
	name := m.namespaceName()
	if m.odds(4) {
		delete(m.scene.Namespaces, name)
		m.ledger.DeleteNamespace(name)
		return "delete namespace " + name
	}
	labels := map[string]string{"tenancy": pick(m, "shared", "own")}
	m.scene.Namespaces[name] = labels
	m.ledger.SetNamespace(name, labels)
	return "label namespace " + name
}

func (m *model) changeReport() string {
	node := m.nodeName()
	if m.odds(8) {
		delete(m.scene.Reports, node)
		m.ledger.SetReport(node, nil)
		return "delete the report of node " + node
	}
	r := ledgertest.Report(node)
	for _, key := range slices.Sorted(maps.Keys(m.pods)) {
		pod := m.pods[key]
		if m.odds(5) {
			continue
		}
		r.Status.Groups = append(r.Status.Groups, v1alpha1.ObservedGroup{
			Levels: pick(m, ledgertest.Isolated, ledgertest.Isolated, ledgertest.OnHostPID(), onHostUsers, v1alpha1.Levels{PID: "Unknown", Network: "Pod"}, sandboxed),
			Pods:   []v1alpha1.ObservedPod{{UID: pod.UID}}, Inspected: !m.odds(4),
		})
		if m.odds(4) {
			r.Status.Findings = append(r.Status.Findings, v1alpha1.NodeFinding{
				Kind: pick(m, v1alpha1.Escape, v1alpha1.Drift, v1alpha1.Foreign, v1alpha1.Unverified, v1alpha1.Leak, "Nonsense"),
				Pod:  v1alpha1.ObservedPod{UID: pod.UID}, Axis: "pid", Observed: v1alpha1.LevelHost, Message: fmt.Sprintf("process %d", m.IntN(9)),
			})
		}
	}
	r.Status.Truncated = m.odds(5)
	if m.odds(5) {
		meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{
			Type: pick(m, v1alpha1.ConditionReady, v1alpha1.ConditionDegraded), Status: pick(m, metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown), Reason: "Any",
		})
	}
	m.scene.Reports[node] = r
	m.ledger.SetReport(node, r)
	return "set the report of node " + node
}

func (m *model) changeAgent() string {
	node := m.nodeName()
	if m.odds(8) {
		delete(m.scene.Agents, node)
		m.ledger.SetAgent(node, time.Time{})
		return "delete the Lease of node " + node
	}
	at := m.now
	if m.odds(3) {
		at = m.now.Add(time.Duration(m.IntN(400)-200) * time.Second)
	}
	m.scene.Agents[node] = at
	m.ledger.SetAgent(node, at)
	return "renew the Lease of node " + node
}

func (m *model) changePolicy() string {
	name := fmt.Sprintf("policy-%d", m.IntN(modelPolicies))
	if p, there := m.policies[name]; there && m.odds(3) {
		delete(m.policies, name)
		m.ledger.SetPolicies(m.allPolicies())
		return "delete policy " + p.Name
	}
	p := ledgertest.Demanding(name)
	p.Generation = m.policies[name].Generation + 1
	p.Spec.Isolation = &v1alpha1.Isolation{
		PID: pick[v1alpha1.PIDLevel](m, "Container", "Pod", "Host", "Container", "Never"), Network: pick[v1alpha1.SandboxLevel](m, "Pod", ""),
	}
	if m.odds(2) {
		p.Spec.Runtime.Action = v1alpha1.Evict
	}
	if m.odds(2) {
		p.Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}}
	}
	if m.odds(4) {
		p.Spec.Match = &v1alpha1.PolicyMatch{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}
	}
	if m.odds(2) {
		p.Spec.Portals = &v1alpha1.Portals{HostPorts: &v1alpha1.HostPortsPortal{}}
	}
	if m.odds(2) {
		p.Spec.Portals = &v1alpha1.Portals{
			HostPaths: &v1alpha1.HostPathsPortal{Allow: []v1alpha1.AllowedHostPath{{PathPrefix: pick(m, "/srv", "/srv/a")}}}, Devices: pick(m, v1alpha1.PortalForbid, ""),
		}
	}
	for i := range m.IntN(3) {
		e := v1alpha1.Exemption{
			Name: fmt.Sprintf("e%d", i), Reason: "r", Namespaces: []string{m.namespaceName()}, Isolation: &v1alpha1.Isolation{PID: "Host", Network: pick[v1alpha1.SandboxLevel](m, "Host", "")},
		}
		if m.odds(3) {
			e.Portals = &v1alpha1.ExemptPortals{HostPaths: &v1alpha1.HostPathsPortal{Allow: []v1alpha1.AllowedHostPath{{PathPrefix: "/"}}}}
		}
		if m.odds(2) {
			e.Expires = &metav1.Time{Time: m.now.Add(time.Duration(m.IntN(300)-100) * time.Second)}
		}
		p.Spec.Exemptions = append(p.Spec.Exemptions, e)
	}
	m.policies[name] = p
	m.ledger.SetPolicies(m.allPolicies())
	return "set policy " + name
}

func (m *model) claimName() string {
	return pick(m, "data", "logs", fmt.Sprintf("pod-%d-own", m.IntN(modelPods/3)))
}

// changeVolume changes a PersistentVolume: it comes, is bound, is bound to another claim, is released, goes,
// or is of a kind that shows nothing of its node; or nobody may read them.
func (m *model) changeVolume() string {
	name := fmt.Sprintf("pv-%d", m.IntN(12))
	switch _, there := m.volumes[name]; {
	case m.odds(10):
		m.scene.VolumesUnknown = pick(m, "", "", "they may not be read")
		m.ledger.SetVolumesUnknown(m.scene.VolumesUnknown)
		return "volumes are unknown: " + m.scene.VolumesUnknown
	case there && m.odds(4):
		delete(m.volumes, name)
		m.ledger.DeleteVolume(name)
		return "delete volume " + name
	}
	pv := ledgertest.NodeVolume(name, pick(m, "/srv", "/srv/a", "/dev", "/proc/1"), m.namespaceName(), m.claimName())
	switch m.IntN(6) {
	case 0:
		pv.Status.Phase = pick(m, corev1.VolumeReleased, corev1.VolumeAvailable, corev1.VolumeFailed)
		pv.Status.LastPhaseTransitionTime = pick(m, nil, &metav1.Time{Time: m.now.Add(-time.Duration(m.IntN(90)) * time.Second)})
	case 1:
		pv.Spec.ClaimRef.UID = ""
	case 2:
		pv.Spec.ClaimRef = nil
	case 3:
		pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d"}}
	}
	m.volumes[name] = pv
	m.ledger.SetVolume(pv.DeepCopy())
	return "set volume " + name
}

// claimed are the volumes of the node that the claims of a pod are bound to, looked for among all.
func (m *model) claimed(pod *corev1.Pod) map[string][]isolation.NodeVolume {
	out := map[string][]isolation.NodeVolume{}
	for _, name := range slices.Sorted(maps.Keys(m.volumes)) {
		v, of, ok := isolation.NodeVolumeOf(m.volumes[name])
		if ok && of.Namespace == pod.Namespace {
			out[of.Name] = append(out[of.Name], v)
		}
	}
	return out
}

func (m *model) allPolicies() []v1alpha1.IsolationPolicy {
	var out []v1alpha1.IsolationPolicy
	for _, p := range m.policies {
		out = append(out, p)
	}
	return out
}

// sandboxed are the levels of a pod that the node's kernel does not show.
var sandboxed = v1alpha1.Levels{
	PID: "NotApplicable", Network: "NotApplicable", IPC: "NotApplicable", UTS: "NotApplicable",
	Mount: "NotApplicable", User: "NotApplicable", Cgroup: "NotApplicable", Time: "NotApplicable",
}

// onHostUsers are the levels of a pod whose root is root on the node.
var onHostUsers = func() v1alpha1.Levels {
	l := ledgertest.Isolated
	l.User = v1alpha1.LevelHost
	return l
}()

// sightOf is what is seen of a pod, without a ledger.
func (m *model) sightOf(pod *corev1.Pod) isolation.Sight {
	sights := ledger.NewSights(m.scene.Reports, m.scene.Agents, m.now)
	for name, node := range m.scene.Nodes {
		if ledger.OnWindows(node.Labels) {
			sights.OnWindows(name)
		}
	}
	return sights.Of(pod)
}

// counted is what a policy says of all pods, counted without a ledger.
func (m *model) counted(p *v1alpha1.IsolationPolicy) (n v1alpha1.PodCounts, findings []v1alpha1.PolicyFinding) {
	compiled := ledgertest.MustCompile(*p)
	for _, pod := range m.pods {
		if isolation.Ended(&pod) {
			continue
		}
		labels, known := m.scene.Namespaces[pod.Namespace]
		subject := isolation.NewSubject(&pod, labels)
		subject.NamespaceUnknown = !known
		subject.Claims, subject.ClaimsUnknown = m.claimed(&pod), m.scene.VolumesUnknown
		node := pod.Spec.NodeName
		a := compiled.Assess(subject, m.sightOf(&pod))
		class := map[isolation.Class]*int32{
			isolation.Exempt: &n.Exempt, isolation.Breached: &n.Breached, isolation.Violating: &n.Violating,
			isolation.Unverified: &n.Unverified, isolation.Compliant: &n.Compliant,
		}[a.Class]
		if class == nil {
			continue
		}
		n.Matched++
		*class++
		if a.Unseeable {
			n.NotApplicable++
		}
		for _, f := range a.Findings {
			f.Namespace, f.Pod, f.UID, f.Node = pod.Namespace, pod.Name, pod.UID, node
			findings = append(findings, f)
		}
	}
	slices.SortStableFunc(findings, func(a, b v1alpha1.PolicyFinding) int {
		return cmp.Or(cmp.Compare(isolation.Severity(a.Kind), isolation.Severity(b.Kind)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
	})
	return n, findings
}

// countedReadiness is how ready the pods are for user namespaces of their own, counted without a ledger.
func (m *model) countedReadiness() ledger.Readiness {
	r := ledger.Readiness{Namespaces: map[string]isolation.UserNamespaceCounts{}, Obstacles: map[isolation.ObstacleSort]int{}}
	for _, pod := range m.pods {
		if isolation.Ended(&pod) {
			continue
		}
		handler := ptr.To("")
		if class := ptr.Deref(pod.Spec.RuntimeClassName, ""); class != "" {
			handler = nil
			if of, ok := m.scene.Handlers[class]; ok {
				handler = &of
			}
		}
		state := isolation.UserNamespaceOwn
		if ptr.Deref(pod.Spec.HostUsers, true) {
			state = isolation.UserNamespaceReady
			sorts := map[isolation.ObstacleSort]bool{}
			for _, o := range isolation.UserNamespaceObstacles(&pod.Spec, isolation.NodeFactsOf(m.scene.Nodes[pod.Spec.NodeName]), handler) {
				sorts[o.ObstacleSort] = true
				if o.Kind != isolation.ObstacleUnclear {
					state = isolation.UserNamespaceBlocked
				} else if state == isolation.UserNamespaceReady {
					state = isolation.UserNamespaceUnclear
				}
			}
			for sort := range sorts {
				r.Obstacles[sort]++
			}
		}
		sight, counts := m.sightOf(&pod), r.Namespaces[pod.Namespace]
		counts.Add(state, sight.Observed(isolation.User), 1)
		r.Namespaces[pod.Namespace] = counts
	}
	return r
}

// countedAgents is how the agents are, by what is said of a pod that is on each of the nodes.
func (m *model) countedAgents() ledger.AgentCounts {
	nodes := map[string]bool{}
	for name := range m.scene.Reports {
		nodes[name] = true
	}
	for name := range m.scene.Agents {
		nodes[name] = true
	}
	for name, node := range m.scene.Nodes {
		if ledger.OnWindows(node.Labels) {
			nodes[name] = true
		}
	}
	for _, pod := range m.pods {
		if pod.Spec.NodeName != "" && !isolation.Ended(&pod) {
			nodes[pod.Spec.NodeName] = true
		}
	}
	var n ledger.AgentCounts
	for name := range nodes {
		report, renewed := m.scene.Reports[name], m.scene.Agents[name]
		probe := corev1.Pod{Spec: corev1.PodSpec{NodeName: name}}
		if report != nil && report.Status.Truncated {
			n.Truncated++
		}
		sight := m.sightOf(&probe)
		switch {
		case sight.Unseeable:
			n.NotApplicable++
			continue
		case strings.Contains(sight.Unseen, "no agent has reported"):
			n.Absent++
			continue
		case strings.Contains(sight.Unseen, "silent since"), strings.Contains(sight.Unseen, "clock is wrong"):
			n.Silent++
		case strings.Contains(sight.Unseen, "is not ready"), !meta.IsStatusConditionFalse(report.Status.Conditions, v1alpha1.ConditionDegraded):
			n.Degraded++
		default:
			n.Reporting++
		}
		if n.Oldest.IsZero() || renewed.Before(n.Oldest) {
			n.Oldest = renewed
		}
	}
	return n
}

// fromScratch is a ledger that is told the whole scene. It keeps the objects that it is handed.
func (m *model) fromScratch() *ledger.Ledger {
	m.scene.Pods, m.scene.Volumes = nil, slices.Collect(maps.Values(m.volumes))
	for _, pod := range m.pods {
		m.scene.Pods = append(m.scene.Pods, pod)
	}
	return m.scene.Ledger(m.now, m.allPolicies()...)
}

// compare tells where the ledger, one from scratch and the count differ.
func (m *model) compare() string {
	scratch := m.fromScratch()
	for name, p := range m.policies {
		kept, made := *m.ledger.Standing(p.UID), *scratch.Standing(p.UID)
		if (kept.Err == nil) != (made.Err == nil) {
			return name + ": " + fmt.Sprint(kept.Err, " and ", made.Err)
		}
		kept.Compiled, made.Compiled, kept.Err, made.Err = nil, nil, nil, nil
		if ok, _ := Equal(made).Match(kept); !ok {
			return fmt.Sprintf("%s: kept\n%+v\nfrom scratch\n%+v", name, kept, made)
		}
		if kept.Verified.Type == "" {
			continue // not valid
		}
		counts, findings := m.counted(&p)
		if kept.Pods != counts || int(kept.FindingsTotal) != len(findings) {
			return fmt.Sprintf("%s: kept\n%+v, %d findings\ncounted\n%+v, %d findings", name, kept.Pods, kept.FindingsTotal, counts, len(findings))
		}
		matters := map[ledger.Matter]int32{}
		for _, f := range findings {
			matters[ledger.Matter{Kind: f.Kind, Axis: f.Axis, Portal: f.Portal}]++
		}
		if !maps.Equal(kept.Matters, matters) {
			return fmt.Sprintf("%s: kept\n%+v\ncounted\n%+v", name, kept.Matters, matters)
		}
		if difference := m.compareBreaches(&p, scratch, int(counts.Breached)); difference != "" {
			return difference
		}
		if shown := findings[:min(len(findings), v1alpha1.MaxPolicyFindings)]; !slices.Equal(kept.Findings, shown) {
			return fmt.Sprintf("%s: kept\n%+v\ncounted\n%+v", name, kept.Findings, shown)
		}
	}
	if a, b := m.ledger.Agents(), scratch.Agents(); a != b || a != m.countedAgents() {
		return fmt.Sprintf("agents: kept\n%+v\nfrom scratch\n%+v\ncounted\n%+v", a, b, m.countedAgents())
	}
	kept, made, counted := m.ledger.Readiness(), scratch.Readiness(), m.countedReadiness()
	for _, other := range []ledger.Readiness{made, counted} {
		if ok, _ := Equal(other).Match(kept); !ok {
			return fmt.Sprintf("readiness: kept\n%+v\nfrom scratch\n%+v\ncounted\n%+v", kept, made, counted)
		}
	}
	if difference := m.compareAssessments(scratch); difference != "" {
		return difference
	}
	if next := m.ledger.Next(); !next.IsZero() && !next.After(m.now) {
		return "it is " + m.now.String() + " and something was to happen at " + next.String()
	}
	if a, b := m.ledger.Next(), scratch.Next(); !b.IsZero() && (a.IsZero() || a.After(b)) {
		return "something happens at " + b.String() + ", and it is not waited for: " + a.String()
	}
	return ""
}

// compareAssessments tells where what is said of the pods of a namespace changed and was not said to have.
func (m *model) compareAssessments(scratch *ledger.Ledger) string {
	for _, namespace := range m.ledger.Changed() {
		m.told[namespace] = m.ledger.Assessments(namespace)
	}
	counts := map[string]v1alpha1.PodCounts{}
	for namespace, all := range m.told {
		if ok, _ := Equal(spoken(scratch.Assessments(namespace))).Match(spoken(all)); !ok {
			return fmt.Sprintf("namespace %s: told\n%+v\nfrom scratch\n%+v", namespace, spoken(all), spoken(scratch.Assessments(namespace)))
		}
		for i := range all {
			n := counts[all[i].Policy.Name]
			n.Matched++
			counts[all[i].Policy.Name] = n
		}
	}
	for name, p := range m.policies {
		if s := m.ledger.Standing(p.UID); s.Pods.Matched != counts[name].Matched {
			return fmt.Sprintf("%s matches %d pods, and %d are told of", name, s.Pods.Matched, counts[name].Matched)
		}
	}
	return ""
}

// compareBreaches tells where the pods for which the policy may evict are others than the breached ones,
// or rest on something else.
func (m *model) compareBreaches(p *v1alpha1.IsolationPolicy, scratch *ledger.Ledger, breached int) string {
	kept, made := m.ledger.Breaches(p.UID), scratch.Breaches(p.UID)
	if p.Spec.Runtime.Action != v1alpha1.Evict {
		breached = 0
	}
	if ok, _ := HaveLen(breached).Match(kept); !ok {
		return fmt.Sprintf("%s: %d pods are breached, kept are %+v", p.Name, breached, kept)
	}
	if ok, _ := Equal(made).Match(kept); !ok {
		return fmt.Sprintf("%s: breaches kept\n%+v\nfrom scratch\n%+v", p.Name, kept, made)
	}
	return ""
}

// spoken is what is said, without the objects of which and by which it is.
func spoken(all []ledger.Assessed) []string {
	out := []string{}
	for _, a := range all {
		out = append(out, fmt.Sprintf("%s %s on %s by %s %d: %+v", a.Pod.UID, a.Pod.Name, a.Pod.Spec.NodeName, a.Policy.Name, a.Policy.Generation, a.Assessment))
	}
	return out
}

func TestWhateverHappensTheBooksSayWhatTheySayFromScratch(t *testing.T) {
	seed := uint64(20261126)
	m := newModel(seed)
	seen := map[isolation.Class]bool{}
	claims, unseeable := map[string]bool{}, false
	var ready isolation.UserNamespaceCounts
	obstacles := map[isolation.ObstacleSort]bool{}
	var last []string
	for i := range steps {
		last = append(last[max(0, len(last)-5):], m.step())
		if m.odds(500) {
			// The manager is killed, and another one starts.
			m.ledger = m.fromScratch()
			m.told = map[string][]ledger.Assessed{}
		}
		if difference := m.compare(); difference != "" {
			t.Fatalf("seed %d, step %d, after %q: %s", seed, i, last, difference)
		}
		readiness := m.ledger.Readiness()
		for _, n := range readiness.Namespaces {
			ready.Own, ready.Ready = max(ready.Own, n.Own), max(ready.Ready, n.Ready)
			ready.Unclear, ready.Blocked = max(ready.Unclear, n.Unclear), max(ready.Blocked, n.Blocked)
			ready.SeenAtHost = max(ready.SeenAtHost, n.SeenAtHost)
		}
		for sort := range readiness.Obstacles {
			obstacles[sort] = true
		}
		for name := range m.policies {
			n := m.ledger.Standing(m.policies[name].UID).Pods
			seen[isolation.Exempt] = seen[isolation.Exempt] || n.Exempt > 0
			seen[isolation.Breached] = seen[isolation.Breached] || n.Breached > 0
			seen[isolation.Violating] = seen[isolation.Violating] || n.Violating > 0
			seen[isolation.Unverified] = seen[isolation.Unverified] || n.Unverified > 0
			seen[isolation.Compliant] = seen[isolation.Compliant] || n.Compliant > 0
			unseeable = unseeable || n.NotApplicable > 0
			for matter := range m.ledger.Standing(m.policies[name].UID).Matters {
				if slices.Contains([]string{"hostPaths", "devices", isolation.PortalClaims}, matter.Portal) {
					claims[matter.Portal] = true
				}
			}
		}
	}
	NewWithT(t).Expect(seen).To(HaveLen(5), "a model in which a class never comes up proves nothing of it")
	NewWithT(t).Expect(unseeable).To(BeTrue(), "a model without pods that nobody can see proves nothing of them")
	for _, n := range []int{ready.Own, ready.Ready, ready.Unclear, ready.Blocked, ready.SeenAtHost} {
		NewWithT(t).Expect(n).NotTo(BeZero(), "a model without pods of each state proves nothing of them: %+v", ready)
	}
	for _, reason := range []string{
		isolation.ObstacleHostNetwork, isolation.ObstacleHostPID, isolation.ObstacleVolume, isolation.ObstacleWindows, isolation.ObstacleUserID,
		isolation.ObstacleKernel, isolation.ObstacleRuntime, isolation.ObstacleNode,
	} {
		NewWithT(t).Expect(obstacles).To(HaveKey(HaveField("Reason", reason)), "a model in which it never comes up proves nothing of it")
	}
	if raced {
		return // so few steps do not come to all of what claims can lead to
	}
	NewWithT(t).Expect(claims).To(HaveLen(3), "a model in which no claim leads to the node proves nothing of them")
}
