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
	"k8s.io/apimachinery/pkg/runtime"
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

func (t *told) Eventf(_, _ runtime.Object, _, reason, _, _ string, _ ...any) { *t = append(*t, reason) }

func TestNothingIsToldUnlessTheStatusWasWritten(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "isolationpolicies"}, "all", errors.New("changed"))
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		err   error
		again bool
		fails bool
		told  int
	}{
		"written":                          {nil, false, false, 1},
		"somebody else wrote it meanwhile": {conflict, true, false, 0},
		"the policy is gone":               {apierrors.NewNotFound(schema.GroupResource{}, "all"), false, false, 0},
		"the API server does not answer":   {broken, false, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			in := world()
			in.Pods = []corev1.Pod{running("a", time.Hour)}
			in.Reports["one"] = report("one", group(onHostPID(), "a"))
			in.Policies = []v1alpha1.IsolationPolicy{demanding("all")}
			j := in.judge()
			events := &told{}
			api := &refusingWriter{err: test.err}
			again, err := (&statusReconciler{client: refusing{writer: api}, recorder: events}).writeAll(t.Context(), &j, in.Ledger(in.Now, in.Policies...))
			g.Expect(again).To(Equal(test.again))
			if test.fails {
				g.Expect(err).To(MatchError(broken))
				g.Expect(err).To(MatchError(ContainSubstring(`"all"`)))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(*events).To(HaveLen(test.told))
			g.Expect(api.writes).To(Equal(1))
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
	_, err := (&statusReconciler{client: refusing{writer: api}, recorder: &told{}}).writeAll(t.Context(), &j, in.Ledger(in.Now, in.Policies...))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(api.writes).To(BeZero())
}
