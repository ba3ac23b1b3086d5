// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// refusing answers every write of a status with an error.
type refusing struct {
	client.Client
	writer *refusingWriter
}

func (r refusing) Status() client.SubResourceWriter { return r.writer }

type refusingWriter struct {
	client.SubResourceWriter
	err    error
	writes int
}

func (w *refusingWriter) Update(context.Context, client.Object, ...client.SubResourceUpdateOption) error {
	w.writes++
	return w.err
}

// told keeps the reasons of events.
type told []string

func (t *told) tell(_ context.Context, all []announcement) int {
	for i := range all {
		*t = append(*t, all[i].reason)
	}
	return 0
}

func TestWhatIsToldIsToldUnderTheSameNameUntilTheStatusIsWritten(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "isolationpolicies"}, "all", errors.New("changed"))
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		err   error
		again bool
		fails bool
	}{
		"written":                          {nil, false, false},
		"somebody else wrote it meanwhile": {conflict, true, false},
		"the policy is gone":               {apierrors.NewNotFound(schema.GroupResource{}, "all"), false, false},
		"the API server does not answer":   {broken, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			in := world()
			in.Pods = []corev1.Pod{running("a", time.Hour)}
			in.Reports["one"] = report("one", group(onHostPID(), "a"))
			in.Policies = []v1alpha1.IsolationPolicy{demanding("all")}
			in.Policies[0].ResourceVersion = "1"
			j := in.judge()
			names := map[string]bool{}
			events := tellerFunc(func(a *announcement) { names[a.name()] = true })
			api := &refusingWriter{err: test.err}
			r := &statusReconciler{client: refusing{writer: api}, teller: events}
			again, err := r.writeAll(t.Context(), &j, in.Ledger(in.Now, in.Policies...))
			g.Expect(again).To(Equal(test.again))
			if test.fails {
				g.Expect(err).To(MatchError(broken))
				g.Expect(err).To(MatchError(ContainSubstring(`"all"`)))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(api.writes).To(Equal(1))
			g.Expect(names).To(HaveLen(1))
			if test.err == nil {
				in.Policies[0].Status = j.verdicts[0].status
			}
			if apierrors.IsNotFound(test.err) {
				return // and so is everything that was to be told of it
			}

			// Meanwhile somebody wrote the policy.
			in.Policies[0].ResourceVersion = "2"
			j = in.judge()
			_, _ = r.writeAll(t.Context(), &j, in.Ledger(in.Now, in.Policies...))
			g.Expect(names).To(HaveLen(1), "it began once")
			api.err = nil
			_, err = r.writeAll(t.Context(), &j, in.Ledger(in.Now, in.Policies...))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(names).To(HaveLen(1))
		})
	}
}

func TestAStatusThatIsTheSameIsNotWritten(t *testing.T) {
	g := NewWithT(t)
	in := world()
	p := demanding("all")
	p.Status = judgeOne(in, p).status
	in.Policies = []v1alpha1.IsolationPolicy{p}
	in.Now = now.Add(time.Minute)
	j := in.judge()
	api := &refusingWriter{err: errors.New("must not be asked")}
	_, err := (&statusReconciler{client: refusing{writer: api}, teller: &told{}}).writeAll(t.Context(), &j, in.Ledger(in.Now, in.Policies...))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(api.writes).To(BeZero())
}
