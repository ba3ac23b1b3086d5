// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// named is how many pods a condition names.
const named = 3

// settling is how long a pod has been Running before it counts for the condition Verified: so
// long an agent may take to see it twice and to report.
const settling = time.Minute

// verified decides the condition Verified over the pods that a policy matches.
//
// A pod counts when it has been Running for a minute. A younger one is neither held against the
// policy nor taken for it, as long as there is one that counts – unless it was seen to breach: the
// minute is for what has not been looked at yet. If there is none, True still needs
// to be seen: it is True only if every running pod was observed as required already, and Unknown
// until then, for at most a minute. So True always means that somebody looked, or that there is
// nothing to look at; and who waits for it after the first pod need not wait for the minute.
func (l *Ledger) verified(p *policy, s *shown) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionVerified}
	switch {
	case p.pods.Matched == 0:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonNoPods
		c.Message = "the policy matches no pod"
	case p.bad > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonUnverified, l.wrong(p, s)
		switch {
		case p.pods.Breached > 0:
			c.Reason = v1alpha1.ReasonBreached
		case p.hidden == p.bad:
			c.Reason = v1alpha1.ReasonNotApplicable
		}
	case p.settled > 0:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonObserved
		c.Message = fmt.Sprintf("%d of %d pods that have been running for a minute were observed as required", p.settled, p.settled)
	case p.young == 0:
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonLooking
		c.Message = "no pod that the policy matches is running yet"
	default:
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonLooking
		if p.seen == p.young {
			c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonObserved
		}
		c.Message = fmt.Sprintf("%d of %d pods were observed as required, within their first minute", p.seen, p.young)
	}
	return c
}

// wrong tells of the pods that are held against the policy. Those that no agent can see are never taken for
// isolated; but neither is anybody to look for an agent that fails.
func (l *Ledger) wrong(p *policy, s *shown) string {
	const never = "can be seen by no agent, for they run on Windows or in a sandbox with a kernel of its own"
	switch {
	case p.hidden == p.bad:
		return fmt.Sprintf("%d of %d pods %s, and what nobody sees is not verified; the others were observed as required: %s",
			p.bad, p.settled, never, l.nameSome(p, s))
	case p.hidden > 0:
		return fmt.Sprintf("%d of %d pods were not observed as required, of which %d %s: %s", p.bad, p.settled, p.hidden, never, l.nameSome(p, s))
	}
	return fmt.Sprintf("%d of %d pods were not observed as required: %s", p.bad, p.settled, l.nameSome(p, s))
}

// nameSome names the first of the bad pods, breached ones before others, and how many more there are.
func (l *Ledger) nameSome(p *policy, s *shown) string {
	var parts []string
	for _, pod := range slices.Concat(s.breached, s.other) {
		parts = append(parts, pod.Namespace+"/"+pod.Name+" ("+observation(l.findings(pod, p))+")")
	}
	if more := int(p.bad) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// observation is the worst that was observed of a pod, or why nothing was.
func observation(findings []v1alpha1.PolicyFinding) string {
	for i := range findings {
		if f := &findings[i]; f.Kind != v1alpha1.Violation {
			return isolation.Sanitize(f.Message, 256)
		}
	}
	return "not verified"
}
