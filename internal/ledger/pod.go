// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// pod is one that has not ended, with a mark of each policy that matches it.
type pod struct {
	*Pod
	namespace *namespace
	// node where it is; nil if it is on none yet.
	node  *node
	marks []mark
	// awaited is the moment for which an alarm is set; settled is set once the pod has been running for
	// long enough.
	awaited       time.Time
	settled, gone bool
	// readiness for a user namespace of its own, by which the pod is counted if counted is set; atHost is set if
	// its agent saw that it is on its node's.
	counted, atHost bool
	readiness       isolation.Readiness
}

// mark is what is kept of what one policy says of one pod.
type mark struct {
	policy *policy
	// exempt has a bit for each exemption that the pod needs, by its place in the policy.
	exempt uint64
	// findings is how many there are, kinds has a bit for each rank of severity among them.
	findings uint32
	kinds    uint16
	// tally is what they are about.
	tally unique.Handle[tally]
	class isolation.Class
	// verified is [isolation.Assessment.Verified], unseeable likewise; running and settled are the pod's.
	verified, unseeable, running, settled bool
}

// counts tells whether the pod is taken for or held against the condition Verified, bad whether against,
// young whether it is not yet. A pod that was seen to breach need not be settled: the minute is for what
// has not been looked at yet.
func (m *mark) breached() bool { return m.class == isolation.Breached }
func (m *mark) counts() bool   { return m.breached() || m.running && m.settled }
func (m *mark) bad() bool      { return m.breached() || m.counts() && !m.verified }
func (m *mark) young() bool    { return m.running && !m.settled && !m.breached() }

// place puts a pod onto its node.
func (l *Ledger) place(p *pod) {
	if p.node != nil && p.node.name == p.Node {
		return
	}
	// The policies count nodes, too.
	l.unmark(p)
	l.leave(p)
	if name := p.Node; name != "" {
		p.node = l.node(name)
		p.node.pods[p] = struct{}{}
		p.node.waitForSilence(l)
	}
}

// leave takes a pod from its node.
func (l *Ledger) leave(p *pod) {
	if p.node == nil {
		return
	}
	delete(p.node.pods, p)
	l.prune(p.node)
	p.node = nil
}

// follow waits until a pod has settled.
func (l *Ledger) follow(p *pod) {
	if !p.Running() {
		p.settled, p.awaited = false, time.Time{}
		return
	}
	at := p.Since.Add(settling)
	if latest := l.now.Add(settling); at.After(latest) {
		// The node's clock is ahead. The pod does not stay young for so long.
		if at = latest; !p.awaited.IsZero() && p.awaited.Before(at) {
			at = p.awaited
		}
	}
	p.settled = !l.now.Before(at)
	if !p.settled && !p.awaited.Equal(at) {
		p.awaited = at
		l.alarms.at(at, func() { l.settle(p) })
	}
}

func (l *Ledger) settle(p *pod) {
	if !p.gone && p.Running() && !p.settled && !l.now.Before(p.awaited) {
		p.settled = true
		l.judge(p)
	}
}

// judge marks a pod anew. Where a policy said nothing is wrong, and says the same again, nothing changes.
func (l *Ledger) judge(p *pod) {
	former := p.marks
	p.marks = make([]mark, 0, len(former))
	subject, sight := l.subject(p), p.sight()
	l.see(p, &sight)
	for _, policy := range l.concerning(p.namespace) {
		for len(former) > 0 && former[0].policy.place < policy.place {
			l.count(p, &former[0], -1)
			former = former[1:]
		}
		now, matches := policy.mark(p, subject, sight)
		if matches {
			p.marks = append(p.marks, now)
		}
		if len(former) > 0 && former[0].policy == policy {
			before := &former[0]
			former = former[1:]
			if matches && *before == now && now.findings == 0 {
				continue
			}
			l.count(p, before, -1)
		}
		if matches {
			l.count(p, &now, 1)
		}
	}
	for i := range former {
		l.count(p, &former[i], -1)
	}
}

// unmark takes what every policy said of a pod.
func (l *Ledger) unmark(p *pod) {
	for i := range p.marks {
		l.count(p, &p.marks[i], -1)
	}
	p.marks = nil
}

// mark is what a policy says of a pod; ok is false if it does not match.
func (p *policy) mark(pod *pod, subject *isolation.Subject, sight isolation.Sight) (m mark, ok bool) {
	a := p.compiled.Assess(subject, sight)
	if a.Class == isolation.Unmatched {
		return mark{}, false
	}
	m = mark{
		policy: p, findings: uint32(len(a.Findings)), class: a.Class,
		verified: a.Verified, unseeable: a.Unseeable, running: pod.Running(), settled: pod.settled, tally: tallyOf(a.Findings),
	}
	for i := range a.Findings {
		m.kinds |= 1 << isolation.Severity(a.Findings[i].Kind)
	}
	for i, e := 0, a.Exempt; i < len(p.api.Spec.Exemptions) && len(e) > 0; i++ {
		if p.api.Spec.Exemptions[i].Name == e[0] {
			m.exempt |= 1 << i
			e = e[1:]
		}
	}
	return m, true
}

// subject is the pod as policies judge it.
func (l *Ledger) subject(p *pod) *isolation.Subject {
	s := p.Subject(p.namespace.labels)
	s.NamespaceUnknown = !p.namespace.known
	s.Claims, s.ClaimsUnknown = p.bound(), l.volumesUnknown
	return s
}

// sight is what is seen of a pod.
func (p *pod) sight() isolation.Sight {
	if p.node == nil {
		return isolation.Sight{Unseen: "it is not on a node yet"}
	}
	sight := p.node.of(p.UID)
	if sight.Unseen != "" && forWindows(p.Spec) {
		return isolation.Sight{Unseen: "it is for Windows, where no agent can look", Unseeable: true}
	}
	return sight
}

// forWindows tells whether a pod says that it is for Windows. The kubelet of another node does not run it
// (KEP-2802).
func forWindows(spec *corev1.PodSpec) bool {
	return spec != nil && spec.OS != nil && spec.OS.Name == corev1.Windows
}

// findings are what a policy says of a pod, with the pod's name and place.
func (l *Ledger) findings(p *pod, policy *policy) []v1alpha1.PolicyFinding {
	out := policy.compiled.Assess(l.subject(p), p.sight()).Findings
	for i := range out {
		out[i].Namespace, out[i].Pod, out[i].UID, out[i].Node = p.Namespace, p.Name, p.UID, p.Node
	}
	return out
}
