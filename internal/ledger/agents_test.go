// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

func TestAnAgentIsInOneState(t *testing.T) {
	with := func(condition string, status metav1.ConditionStatus) *v1alpha1.NodeIsolationReport {
		r := ledgertest.Report("one")
		meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: condition, Status: status, Reason: "Because"})
		return r
	}
	for _, c := range []struct {
		name    string
		report  *v1alpha1.NodeIsolationReport
		renewed time.Time
		want    ledger.AgentState
		windows bool
	}{
		{"alive and seeing everything", ledgertest.Report("one"), ledgertest.Now, ledger.AgentReporting, false},
		{"alive and not seeing everything", with(v1alpha1.ConditionDegraded, metav1.ConditionTrue), ledgertest.Now, ledger.AgentDegraded, false},
		{"alive and not sure of it", with(v1alpha1.ConditionDegraded, metav1.ConditionUnknown), ledgertest.Now, ledger.AgentDegraded, false},
		{"alive and not ready", with(v1alpha1.ConditionReady, metav1.ConditionFalse), ledgertest.Now, ledger.AgentNotReady, false},
		{"alive with a report that says nothing", &v1alpha1.NodeIsolationReport{}, ledgertest.Now, ledger.AgentNotReady, false},
		{"just alive", ledgertest.Report("one"), ledgertest.Now.Add(-ledger.AgentLease), ledger.AgentReporting, false},
		{"silent", ledgertest.Report("one"), ledgertest.Now.Add(-ledger.AgentLease - 1), ledger.AgentSilent, false},
		{"with a clock that is wrong", ledgertest.Report("one"), ledgertest.Now.Add(ledger.AgentLease + 1), ledger.AgentSilent, false},
		{"without a report", nil, ledgertest.Now, ledger.AgentAbsent, false},
		{"without a Lease", ledgertest.Report("one"), time.Time{}, ledger.AgentAbsent, false},
		{"without a report, on Windows", nil, ledgertest.Now, ledger.AgentNotApplicable, true},
		{"silent, with a report of what is said to be Windows", ledgertest.Report("one"), ledgertest.Now.Add(-time.Hour), ledger.AgentSilent, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ledger.NewSights(map[string]*v1alpha1.NodeIsolationReport{"one": c.report}, map[string]time.Time{"one": c.renewed}, ledgertest.Now)
			if c.windows {
				s.OnWindows("one")
			}
			state, why := s.Agent("one")
			if state != c.want || (why == "") != (state == ledger.AgentReporting) {
				t.Errorf("got %s (%q), want %s", state, why, c.want)
			}
		})
	}
}
