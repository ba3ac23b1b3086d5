// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// oracle is what Pod Security says, by its own evaluator.
type oracle struct {
	// all judges by every control.
	all policy.Evaluator
	// by judges by one covered control.
	by map[policy.CheckID]policy.Evaluator
}

// newOracle fails if a control of Pod Security is in neither table or in both, or a table names one
// that is none.
func newOracle() (*oracle, error) {
	o := &oracle{by: map[policy.CheckID]policy.Evaluator{}}
	checks := policy.DefaultChecks()
	var err error
	if o.all, err = policy.NewEvaluator(checks, nil); err != nil {
		return nil, err
	}
	named := sets.New(slices.Collect(maps.Keys(covered))...).Insert(slices.Collect(maps.Keys(notCovered))...)
	for _, check := range checks {
		_, yes := covered[check.ID]
		_, no := notCovered[check.ID]
		if yes == no {
			return nil, fmt.Errorf("is control %s covered? Name it in one of the tables covered and notCovered", check.ID)
		}
		named.Delete(check.ID)
		if yes {
			if o.by[check.ID], err = policy.NewEvaluator([]policy.Check{check}, nil); err != nil {
				return nil, err
			}
		}
	}
	if named.Len() > 0 {
		return nil, fmt.Errorf("Pod Security has no control %s: take it out of the table", sets.List(named))
	}
	return o, nil
}

// refusing are the covered controls that refuse the pod, in order.
func (o *oracle) refusing(level api.LevelVersion, meta *metav1.ObjectMeta, spec *corev1.PodSpec) []policy.CheckID {
	var out []policy.CheckID
	for id, evaluator := range o.by {
		if !policy.AggregateCheckResults(evaluator.EvaluatePod(level, meta, spec)).Allowed {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// words are Pod Security's own, by all of its controls; empty if it admits the pod.
func (o *oracle) words(level api.LevelVersion, meta *metav1.ObjectMeta, spec *corev1.PodSpec) string {
	result := policy.AggregateCheckResults(o.all.EvaluatePod(level, meta, spec))
	return result.ForbiddenDetail()
}

// checks are all controls of Pod Security, at every version: the suite runs only those versions at
// which something changes, unless some control names more.
func checks() []policy.Check {
	all := policy.DefaultChecks()
	for i := range all {
		if all[i].ID != "privileged" {
			continue
		}
		only := all[i].Versions[0]
		all[i].Versions = nil
		for minor := 0; minor <= newestMinor; minor++ {
			only.MinimumVersion = api.MajorMinorVersion(1, minor)
			all[i].Versions = append(all[i].Versions, only)
		}
	}
	return all
}
