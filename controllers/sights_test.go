// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

func TestAnAgentIsInOneState(t *testing.T) {
	with := func(condition string, status metav1.ConditionStatus) *v1alpha1.NodeIsolationReport {
		r := report("one")
		meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: condition, Status: status, Reason: "Because"})
		return r
	}
	for _, c := range []struct {
		name    string
		report  *v1alpha1.NodeIsolationReport
		renewed time.Time
		want    AgentState
	}{
		{"alive and seeing everything", report("one"), now, AgentReporting},
		{"alive and not seeing everything", with(v1alpha1.ConditionDegraded, metav1.ConditionTrue), now, AgentDegraded},
		{"alive and not sure of it", with(v1alpha1.ConditionDegraded, metav1.ConditionUnknown), now, AgentDegraded},
		{"alive and not ready", with(v1alpha1.ConditionReady, metav1.ConditionFalse), now, AgentNotReady},
		{"alive with a report that says nothing", &v1alpha1.NodeIsolationReport{}, now, AgentNotReady},
		{"just alive", report("one"), now.Add(-agentLease), AgentReporting},
		{"silent", report("one"), now.Add(-agentLease - 1), AgentSilent},
		{"with a clock that is wrong", report("one"), now.Add(agentLease + 1), AgentSilent},
		{"without a report", nil, now, AgentAbsent},
		{"without a Lease", report("one"), time.Time{}, AgentAbsent},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSights(map[string]*v1alpha1.NodeIsolationReport{"one": c.report}, map[string]time.Time{"one": c.renewed}, now)
			state, why := s.Agent("one")
			if state != c.want || (why == "") != (state == AgentReporting) {
				t.Errorf("got %s (%q), want %s", state, why, c.want)
			}
		})
	}
}
