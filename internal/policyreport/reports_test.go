// SPDX-License-Identifier: Apache-2.0

package policyreport_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
	"github.com/bulkhead-dev/bulkhead/internal/policyreport"
)

// said is what a policy says of so many pods, the first of them with a number.
func said(first, pods int, class isolation.Class, messages ...string) []ledger.Assessed {
	policy := ledgertest.Demanding("tenants")
	var out []ledger.Assessed
	for i := range pods {
		name := fmt.Sprintf("pod-%05d", first+i)
		a := ledger.Assessed{
			Pod:        &ledger.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name)}},
			Policy:     &policy,
			Assessment: isolation.Assessment{Class: class},
		}
		for _, m := range messages {
			a.Findings = append(a.Findings, v1alpha1.PolicyFinding{Kind: v1alpha1.Violation, Axis: "pid", Message: m})
		}
		out = append(out, a)
	}
	return out
}

// total adds the summaries up, and counts what is listed.
func total(reports []openreports.Report) (sum openreports.ReportSummary, listed int) {
	for _, r := range reports {
		sum.Pass += r.Summary.Pass
		sum.Fail += r.Summary.Fail
		sum.Error += r.Summary.Error
		sum.Skip += r.Summary.Skip
		sum.Warn += r.Summary.Warn
		listed += len(r.Results)
	}
	return sum, listed
}

func TestEveryClassHasItsResultAndUnknownNeverPasses(t *testing.T) {
	for class, want := range map[isolation.Class]openreports.Result{
		isolation.Breached: "fail", isolation.Violating: "fail", isolation.Unverified: "error", isolation.Exempt: "skip",
		isolation.Compliant: "pass", isolation.Class(200): "error",
	} {
		got := policyreport.Of("shop", said(0, 1, class))
		NewWithT(t).Expect(got[0].Results).To(ConsistOf(HaveField("Result", want)), "class %d", class)
	}
}

func TestNothingSaidIsNoReport(t *testing.T) {
	NewWithT(t).Expect(policyreport.Of("shop", nil)).To(BeEmpty())
}

func TestPassesAreListedAsLongAsTheyAreFew(t *testing.T) {
	g := NewWithT(t)
	few := policyreport.Of("shop", said(0, policyreport.MaxQuiet, isolation.Compliant))
	g.Expect(few).To(HaveLen(1))
	g.Expect(few[0].Results).To(HaveLen(policyreport.MaxQuiet))
	g.Expect(few[0].Annotations).To(BeEmpty())
	g.Expect(few[0].Configuration).To(BeNil())

	many := policyreport.Of("shop", append(said(0, policyreport.MaxQuiet, isolation.Compliant), said(9000, 1, isolation.Violating, "m")...))
	g.Expect(many).To(HaveLen(1))
	g.Expect(many[0].Results).To(ConsistOf(HaveField("Result", openreports.Result("fail"))))
	g.Expect(many[0].Summary).To(Equal(openreports.ReportSummary{Pass: policyreport.MaxQuiet, Fail: 1}))
	g.Expect(many[0].Annotations).To(HaveKeyWithValue(policyreport.AnnotationUnlisted, "pass=100"))
	g.Expect(many[0].Configuration.Limits).To(Equal(openreports.Limits{StatusFilter: []openreports.StatusFilter{"fail", "error", "warn", "skip"}}))

	quiet := policyreport.Of("shop", said(0, policyreport.MaxQuiet+1, isolation.Compliant))
	g.Expect(quiet).To(HaveLen(1), "a namespace in which all is well has its report")
	g.Expect(quiet[0].Results).To(BeEmpty())
	g.Expect(quiet[0].Summary.Pass).To(Equal(policyreport.MaxQuiet + 1))
}

func TestOneMoreThanFitsBeginsTheNextReport(t *testing.T) {
	for results, want := range map[int][]int{500: {500}, 501: {500, 1}, 1000: {500, 500}, 2000: {500, 500, 500, 500}, 2001: {500, 500, 500, 500}} {
		var got []int
		reports := policyreport.Of("shop", said(0, results, isolation.Unverified))
		for _, r := range reports {
			got = append(got, len(r.Results))
		}
		g := NewWithT(t)
		g.Expect(got).To(Equal(want), "%d results", results)
		sum, _ := total(reports)
		g.Expect(sum).To(Equal(openreports.ReportSummary{Error: results}), "%d results", results)
	}
}

func TestWhateverThereIsReportsAreBoundedAndAddUp(t *testing.T) {
	g := NewWithT(t)
	hostile := strings.Repeat("\x1b[2J\n\"\\\u202e\xff<&", 500)
	all := said(0, 3000, isolation.Breached, hostile, hostile)
	all = append(all, said(3000, 3000, isolation.Unverified, hostile)...)
	all = append(all, said(6000, 3000, isolation.Compliant)...)
	reports := policyreport.Of("shop", all)
	g.Expect(len(reports)).To(BeNumerically("<=", policyreport.MaxReports))
	sum, listed := total(reports)
	g.Expect(sum).To(Equal(openreports.ReportSummary{Fail: 3000, Error: 3000, Pass: 3000}))
	g.Expect(listed).To(BeNumerically(">", 500))
	for _, r := range reports {
		encoded, err := json.Marshal(r)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(len(encoded)).To(BeNumerically("<", 512<<10))
		g.Expect(r.Annotations[policyreport.AnnotationUnlisted]).To(Equal(fmt.Sprintf("fail=%d,error=3000,pass=3000", 3000-listed)))
		g.Expect(r.Configuration.Limits.MaxResults).To(Equal(policyreport.MaxResults))
		for _, one := range r.Results {
			g.Expect(one.Result).To(Equal(openreports.Result("fail")), "the worst are listed")
			g.Expect(one.Description).To(MatchRegexp(`\A[ -~]+\z`))
			g.Expect(len(one.Description)).To(BeNumerically("<=", 1024))
		}
	}
}

func TestAResultKeepsItsTimeWhileItsWordsChange(t *testing.T) {
	g := NewWithT(t)
	then, now := ledgertest.Now, ledgertest.Now.Add(time.Hour)
	standing := policyreport.Of("shop", said(0, 2, isolation.Violating, "before"))
	policyreport.Date(standing, nil, then)
	g.Expect(standing[0].Results).To(HaveEach(HaveField("Timestamp.Seconds", then.Unix())))

	wanted := policyreport.Of("shop", append(said(0, 1, isolation.Violating, "after"), said(1, 2, isolation.Breached, "worse")...))
	policyreport.Date(wanted, standing, now)
	var got []int64
	for _, r := range wanted[0].Results {
		got = append(got, r.Timestamp.Seconds)
	}
	g.Expect(got).To(Equal([]int64{then.Unix(), now.Unix(), now.Unix()}))

	for i := range standing[0].Results {
		standing[0].Results[i].Timestamp.Seconds = now.Unix() + 1
	}
	policyreport.Date(wanted, standing, now)
	g.Expect(wanted[0].Results).To(HaveEach(HaveField("Timestamp.Seconds", now.Unix())), "nothing is found tomorrow")
}

func TestWhatOthersAddToAReportIsTheirs(t *testing.T) {
	wanted := func() openreports.Report { return policyreport.Of("shop", said(0, 1, isolation.Violating, "m"))[0] }
	for name, test := range map[string]struct {
		change func(*openreports.Report)
		same   bool
	}{
		"nothing":             {func(*openreports.Report) {}, true},
		"a label":             {func(r *openreports.Report) { r.Labels["team"] = "a" }, true},
		"an annotation":       {func(r *openreports.Report) { r.Annotations = map[string]string{"a": "b"} }, true},
		"our label is gone":   {func(r *openreports.Report) { r.Labels = nil }, false},
		"a result is gone":    {func(r *openreports.Report) { r.Results = nil }, false},
		"a count is another":  {func(r *openreports.Report) { r.Summary.Fail = 0 }, false},
		"a result passes":     {func(r *openreports.Report) { r.Results[0].Result = "pass" }, false},
		"a scope":             {func(r *openreports.Report) { r.Scope = &corev1.ObjectReference{} }, false},
		"another policy owns": {func(r *openreports.Report) { r.OwnerReferences[0].UID = "x" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			standing, want := wanted(), wanted()
			test.change(&standing)
			NewWithT(t).Expect(policyreport.Says(&standing, &want)).To(Equal(test.same))
		})
	}
}
