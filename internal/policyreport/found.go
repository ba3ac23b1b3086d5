// SPDX-License-Identifier: Apache-2.0

package policyreport

import (
	"maps"
	"time"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// finding is what a result is about: while the policy counts the pod the same it stays the same result,
// whatever its words.
type finding struct {
	policy string
	pod    types.UID
	state  string
}

func findingOf(r *openreports.ReportResult) finding {
	f := finding{policy: r.Policy, state: r.Properties[propertyState]}
	if len(r.Subjects) > 0 {
		f.pod = r.Subjects[0].UID
	}
	return f
}

// Date says of each result when it was found: as the reports that stand say, or else now. A time
// that has not come yet is nobody's but a forger's.
func Date(wanted, standing []openreports.Report, now time.Time) {
	found := make(map[finding]metav1.Timestamp)
	for i := range standing {
		for j := range standing[i].Results {
			if r := &standing[i].Results[j]; r.Timestamp.Seconds > 0 && r.Timestamp.Seconds <= now.Unix() {
				found[findingOf(r)] = r.Timestamp
			}
		}
	}
	for i := range wanted {
		for j := range wanted[i].Results {
			r := &wanted[i].Results[j]
			if at, known := found[findingOf(r)]; known {
				r.Timestamp = at
			} else {
				r.Timestamp = metav1.Timestamp{Seconds: now.Unix()}
			}
		}
	}
}

// Says tells whether a report that stands says what is wanted, all of it and no more. Labels, annotations
// and owners that others gave it are theirs.
func Says(standing, wanted *openreports.Report) bool {
	return contains(standing.Labels, wanted.Labels) &&
		maps.Equal(policiesOf(standing), policiesOf(wanted)) &&
		standing.Annotations[AnnotationUnlisted] == wanted.Annotations[AnnotationUnlisted] &&
		standing.Source == wanted.Source &&
		equality.Semantic.DeepEqual(standing.Scope, wanted.Scope) &&
		equality.Semantic.DeepEqual(standing.ScopeSelector, wanted.ScopeSelector) &&
		equality.Semantic.DeepEqual(standing.Configuration, wanted.Configuration) &&
		standing.Summary == wanted.Summary &&
		equality.Semantic.DeepEqual(standing.Results, wanted.Results)
}

// policiesOf are the policies that own a report.
func policiesOf(r *openreports.Report) map[types.UID]bool {
	out := make(map[types.UID]bool)
	for i := range r.OwnerReferences {
		if r.OwnerReferences[i].Kind == policyKind {
			out[r.OwnerReferences[i].UID] = true
		}
	}
	return out
}

func contains(all, some map[string]string) bool {
	for k, v := range some {
		if all[k] != v {
			return false
		}
	}
	return true
}
