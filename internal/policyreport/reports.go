// SPDX-License-Identifier: Apache-2.0

package policyreport

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// Name of a namespace's first report, and who says what is in it. The others are called Name-2 and so on.
const (
	Name   = "bulkhead"
	Source = "bulkhead"
)

// What a namespace's reports may hold. Reports that were not bounded have filled the storage of clusters.
const (
	// MaxReports of a namespace. What would need more is counted in the first and not listed.
	MaxReports = 4
	// MaxResults of one report.
	MaxResults = 500
	// MaxBytes of the results of one report, as JSON.
	MaxBytes = 256 << 10
	// MaxQuiet is how many results a namespace may have for those that call for nothing, passes, to be listed too.
	MaxQuiet = 100
)

// AnnotationUnlisted says how many results of which outcome are counted and not listed.
const AnnotationUnlisted = v1alpha1.Group + "/unlisted-results"

// Of are the reports of a namespace, in order; none if no policy matches a pod there. Results have no
// timestamps yet: see [Date].
//
// The summaries of all of them add up to the truth: each counts what it lists, and the first what none
// lists, too.
func Of(namespace string, assessed []ledger.Assessed) []openreports.Report {
	if len(assessed) == 0 {
		return nil
	}
	results := make([]openreports.ReportResult, 0, len(assessed))
	for i := range assessed {
		results = append(results, resultOf(&assessed[i]))
	}
	slices.SortStableFunc(results, func(a, b openreports.ReportResult) int {
		return cmp.Compare(urgency(a.Result), urgency(b.Result))
	})
	listed, unlisted := split(results)
	out := make([]openreports.Report, len(listed))
	owners := ownersOf(assessed)
	for i := range listed {
		out[i] = report(namespace, i, owners, listed[i])
	}
	leaveOut(out, unlisted)
	return out
}

// outcomes are all results that there are, those first that somebody should see first.
var outcomes = []openreports.Result{"fail", "error", "warn", "skip", "pass"}

func urgency(r openreports.Result) int { return slices.Index(outcomes, r) }

// split says what stands in which report, and what in none. There is at least one report.
func split(results []openreports.ReportResult) (listed [][]openreports.ReportResult, unlisted []openreports.ReportResult) {
	candidates := results
	if len(results) > MaxQuiet {
		quiet := slices.IndexFunc(results, func(r openreports.ReportResult) bool { return r.Result == "pass" })
		if quiet >= 0 {
			candidates, unlisted = results[:quiet], results[quiet:]
		}
	}
	from, size := 0, 0
	for i := range candidates {
		bytes := sizeOf(&candidates[i])
		if i-from == MaxResults || size+bytes > MaxBytes {
			listed = append(listed, candidates[from:i])
			from, size = i, 0
			if len(listed) == MaxReports {
				return listed, results[i:]
			}
		}
		size += bytes
	}
	return append(listed, candidates[from:]), unlisted
}

// sizeOf is how much a result takes in a report.
func sizeOf(r *openreports.ReportResult) int {
	encoded, err := json.Marshal(r)
	if err != nil {
		panic(err) // of strings and numbers alone
	}
	return len(encoded) + 1
}

func report(namespace string, i int, owners []metav1.OwnerReference, results []openreports.ReportResult) openreports.Report {
	name := Name
	if i > 0 {
		name += "-" + strconv.Itoa(i+1)
	}
	r := openreports.Report{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, OwnerReferences: owners,
			Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy},
		},
		Source: Source, Results: results,
	}
	for i := range results {
		*count(&r.Summary, results[i].Result)++
	}
	return r
}

// leaveOut counts in the first report what none lists, and says so in all: in words of the format, of which
// not every version has them, and in an annotation.
func leaveOut(reports []openreports.Report, unlisted []openreports.ReportResult) {
	if len(unlisted) == 0 {
		return
	}
	var missing openreports.ReportSummary
	for i := range unlisted {
		*count(&reports[0].Summary, unlisted[i].Result)++
		*count(&missing, unlisted[i].Result)++
	}
	var parts []string
	limits := openreports.Limits{}
	for _, o := range outcomes {
		if n := *count(&missing, o); n > 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", o, n))
		}
		if o != "pass" {
			limits.StatusFilter = append(limits.StatusFilter, openreports.StatusFilter(o))
		}
	}
	if missing.Pass != len(unlisted) {
		limits.MaxResults = MaxResults
	}
	for i := range reports {
		reports[i].Annotations = map[string]string{AnnotationUnlisted: strings.Join(parts, ",")}
		reports[i].Configuration = &openreports.ReportConfiguration{Limits: limits}
	}
}

func count(s *openreports.ReportSummary, r openreports.Result) *int {
	switch r {
	case "pass":
		return &s.Pass
	case "fail":
		return &s.Fail
	case "warn":
		return &s.Warn
	case "skip":
		return &s.Skip
	default:
		return &s.Error
	}
}

const policyKind = "IsolationPolicy"

// ownersOf are the policies that say something: when all of them are gone, so is what they said, even if
// no manager runs any more.
func ownersOf(assessed []ledger.Assessed) []metav1.OwnerReference {
	known := make(map[types.UID]bool)
	var out []metav1.OwnerReference
	for i := range assessed {
		p := assessed[i].Policy
		if known[p.UID] {
			continue
		}
		known[p.UID] = true
		out = append(out, metav1.OwnerReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: policyKind, Name: p.Name, UID: p.UID,
		})
	}
	slices.SortFunc(out, func(a, b metav1.OwnerReference) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
