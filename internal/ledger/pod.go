// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// pod is one that has not ended, with a mark of each policy that matches it.
type pod struct {
	*corev1.Pod
	namespace *namespace
	// node where it is; nil if it is on none yet.
	node  *node
	marks []mark
	// since when it runs; meaningful only if running. settled is set once that is long enough ago.
	since            time.Time
	running, settled bool
	gone             bool
}

// mark is what is kept of what one policy says of one pod.
type mark struct {
	policy *policy
	// exempt has a bit for each exemption that the pod needs, by its place in the policy.
	exempt uint64
	// findings is how many there are, kinds has a bit for each rank of severity among them.
	findings uint32
	kinds    uint16
	class    isolation.Class
	// verified is [isolation.Assessment.Verified]; running and settled are the pod's.
	verified, running, settled bool
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
	if p.node != nil && p.node.name == p.Spec.NodeName {
		return
	}
	// The policies count nodes, too.
	l.unmark(p)
	l.leave(p)
	if name := p.Spec.NodeName; name != "" {
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

// follow sees since when a pod runs, and waits until it has settled.
func (l *Ledger) follow(p *pod) {
	since, running := runningSince(p.Pod)
	awaited := p.running && p.since.Equal(since)
	if running && !awaited && l.now.Before(since.Add(settling)) {
		l.alarms.at(since.Add(settling), func() { l.settle(p) })
	}
	p.since, p.running = since, running
	p.settled = running && !l.now.Before(since.Add(settling))
}

func (l *Ledger) settle(p *pod) {
	if !p.gone && p.running && !p.settled && !l.now.Before(p.since.Add(settling)) {
		p.settled = true
		l.judge(p)
	}
}

// judge marks a pod anew. Where a policy said nothing is wrong, and says the same again, nothing changes.
func (l *Ledger) judge(p *pod) {
	former := p.marks
	p.marks = make([]mark, 0, len(former))
	for _, policy := range l.policies {
		var before *mark
		if len(former) > 0 && former[0].policy == policy {
			before, former = &former[0], former[1:]
		}
		var now *mark
		if m, ok := l.mark(p, policy); ok {
			p.marks = append(p.marks, m)
			now = &m
		}
		if before != nil && now != nil && *before == *now && now.findings == 0 {
			continue
		}
		if before != nil {
			policy.count(p, before, -1)
		}
		if now != nil {
			policy.count(p, now, 1)
		}
	}
}

// unmark takes what every policy said of a pod.
func (l *Ledger) unmark(p *pod) {
	for i := range p.marks {
		p.marks[i].policy.count(p, &p.marks[i], -1)
	}
	p.marks = nil
}

// mark is what a policy says of a pod; ok is false if it does not match.
func (l *Ledger) mark(p *pod, policy *policy) (m mark, ok bool) {
	if policy.err != nil {
		return mark{}, false
	}
	a := l.assess(p, policy)
	if a.Class == isolation.Unmatched {
		return mark{}, false
	}
	m = mark{
		policy: policy, findings: uint32(len(a.Findings)), class: a.Class,
		verified: a.Verified, running: p.running, settled: p.settled,
	}
	for i := range a.Findings {
		m.kinds |= 1 << isolation.Severity(a.Findings[i].Kind)
	}
	for i, e := 0, a.Exempt; i < len(policy.api.Spec.Exemptions) && len(e) > 0; i++ {
		if policy.api.Spec.Exemptions[i].Name == e[0] {
			m.exempt |= 1 << i
			e = e[1:]
		}
	}
	return m, true
}

// assess is all that a policy says of a pod.
func (l *Ledger) assess(p *pod, policy *policy) isolation.Assessment {
	return policy.compiled.Assess(p.subject(), p.sight())
}

// subject is what policies judge of a pod.
func (p *pod) subject() *isolation.Subject {
	s := isolation.NewSubject(p.Pod, p.namespace.labels)
	s.NamespaceUnknown = !p.namespace.known
	return s
}

// sight is what is seen of a pod.
func (p *pod) sight() isolation.Sight {
	if p.node == nil {
		return isolation.Sight{Unseen: "it is not on a node yet"}
	}
	return p.node.of(p.UID)
}

// findings are those of a pod, with its name and place.
func (l *Ledger) findings(p *pod, policy *policy) []v1alpha1.PolicyFinding {
	out := l.assess(p, policy).Findings
	for i := range out {
		out[i].Namespace, out[i].Pod, out[i].UID, out[i].Node = p.Namespace, p.Name, p.UID, p.Spec.NodeName
	}
	return out
}
