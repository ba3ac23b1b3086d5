// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
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

// verified decides the condition Verified over the pods that a policy matches.
//
// A pod counts when it has been Running for a minute. A younger one is neither held against the
// policy nor taken for it, as long as there is one that counts – unless it was seen to breach: the
// minute is for what has not been looked at yet. If there is none, True still needs
// to be seen: it is True only if every running pod was observed as required already, and Unknown
// until then, for at most a minute. So True always means that somebody looked, or that there is
// nothing to look at; and who waits for it after the first pod need not wait for the minute.
func verified(now time.Time, pods []assessed, next *alarm) metav1.Condition {
	var settled, young, bad []*assessed
	for i := range pods {
		p := &pods[i]
		switch {
		case p.Class == isolation.Breached:
			settled, bad = append(settled, p), append(bad, p)
		case !p.running:
		case now.Before(p.since.Add(settling)):
			young = append(young, p)
			next.set(p.since.Add(settling))
		default:
			settled = append(settled, p)
			if !p.Verified {
				bad = append(bad, p)
			}
		}
	}
	c := metav1.Condition{Type: v1alpha1.ConditionVerified}
	switch {
	case len(pods) == 0:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonNoPods
		c.Message = "the policy matches no pod"
	case len(bad) > 0:
		c.Status, c.Reason = metav1.ConditionFalse, reasonOf(bad)
		c.Message = fmt.Sprintf("%d of %d pods were not observed as required: %s",
			len(bad), len(settled), nameSome(bad))
	case len(settled) > 0:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonObserved
		c.Message = fmt.Sprintf("%d of %d pods that have been running for a minute were observed as required", len(settled), len(settled))
	default:
		lookAtYoung(&c, young)
	}
	return c
}

// lookAtYoung decides where no pod has been running for a minute yet.
func lookAtYoung(c *metav1.Condition, young []*assessed) {
	observed := 0
	for _, p := range young {
		if p.Verified {
			observed++
		}
	}
	c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonLooking
	switch {
	case len(young) == 0:
		c.Message = "no pod that the policy matches is running yet"
		return
	case observed == len(young):
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonObserved
	}
	c.Message = fmt.Sprintf("%d of %d pods were observed as required, within their first minute", observed, len(young))
}

// reasonOf is the worse of the reasons why pods are not verified.
func reasonOf(bad []*assessed) string {
	if slices.ContainsFunc(bad, func(p *assessed) bool { return p.Class == isolation.Breached }) {
		return v1alpha1.ReasonBreached
	}
	return v1alpha1.ReasonUnverified
}

// nameSome names the first of the pods, breached ones before others, and how many more there are.
func nameSome(bad []*assessed) string {
	slices.SortStableFunc(bad, func(a, b *assessed) int {
		return cmp.Or(
			cmp.Compare(order(a), order(b)),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		)
	})
	var parts []string
	for _, p := range bad[:min(len(bad), named)] {
		parts = append(parts, p.Namespace+"/"+p.Name+" ("+observation(p)+")")
	}
	if more := len(bad) - named; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

func order(p *assessed) int {
	if p.Class == isolation.Breached {
		return 0
	}
	return 1
}

// observation is the worst that was observed of a pod, or why nothing was.
func observation(p *assessed) string {
	for i := range p.Findings {
		if f := &p.Findings[i]; f.Kind != v1alpha1.Violation {
			return isolation.Sanitize(f.Message, 256)
		}
	}
	return "not verified"
}
