// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/policyreport"
)

const (
	// reportPace is the least time between two writings of one namespace's reports.
	reportPace = 10 * time.Second
	// reportsPerSecond, and reportBurst, bound how often reports are written in all.
	reportsPerSecond, reportBurst = 10, 20
)

// reportsReconciler writes the reports that viewers read, one request for each namespace of which the books
// may say something else than before, or of whose reports something was changed.
type reportsReconciler struct {
	client client.Client
	// live reads from the API server: of reports nothing but their metadata is kept.
	live  client.Reader
	clock clock.PassiveClock
	books *sharedBooks
	limit *rate.Limiter
	// refusedPace is how long a refusal is waited out.
	refusedPace time.Duration

	mu sync.Mutex
	// api that is written; nil as long as the cluster has none. Everything below is about it.
	api *viewerAPI
	// written is what stands of ours and was seen to say what is wanted.
	written map[types.NamespacedName]stand
	// rests until when nothing of a namespace is written.
	rests map[string]time.Time
	// refused is set once it was told that something may not be written.
	refused bool
}

// stand is one report as it stands.
type stand struct {
	version string
	// digest of what it says, without the times; zero if that is not known.
	digest uint64
}

// Reconcile brings the reports of one namespace up to date.
func (r *reportsReconciler) Reconcile(ctx context.Context, q reconcile.Request) (reconcile.Result, error) {
	namespace := q.Name
	api, rest := r.turn(namespace)
	if api == nil || rest > 0 {
		return reconcile.Result{RequeueAfter: rest}, nil
	}
	assessed, known := r.books.assessments(namespace)
	if !known {
		// What stands may be right: nothing is taken for gone before it is known what is there.
		return reconcile.Result{RequeueAfter: pace}, nil
	}
	wanted := policyreport.Of(namespace, assessed)
	for i := range wanted {
		api.fit(&wanted[i])
	}
	if r.stand(namespace, wanted) {
		return reconcile.Result{}, nil
	}
	err := r.write(ctx, api, namespace, wanted)
	switch {
	case err == nil:
		return reconcile.Result{}, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		// The namespace or the API is on its way out. Should it come back, that is told.
		return reconcile.Result{}, nil
	case apierrors.IsForbidden(err):
		r.tellRefused(log.FromContext(ctx), err)
		return reconcile.Result{RequeueAfter: r.refusedPace}, nil
	}
	return reconcile.Result{}, err
}

// turn is what is to be written, and how long the namespace has to wait for that.
func (r *reportsReconciler) turn(namespace string) (*viewerAPI, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.api == nil {
		return nil, 0
	}
	return r.api, r.rests[namespace].Sub(r.clock.Now())
}

// stand tells whether the reports that are wanted are the ones that stand, as far as is known.
func (r *reportsReconciler) stand(namespace string, wanted []openreports.Report) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	standing := 0
	for name := range r.written {
		if name.Namespace == namespace {
			standing++
		}
	}
	for i := range wanted {
		if s, known := r.written[client.ObjectKeyFromObject(&wanted[i])]; !known || s.digest != digest(&wanted[i]) {
			return false
		}
	}
	return standing == len(wanted)
}

// To apply is to patch, and to create what is not there.
// +kubebuilder:rbac:groups=openreports.io,resources=reports,verbs=list;create;patch;delete
// +kubebuilder:rbac:groups=wgpolicyk8s.io,resources=policyreports,verbs=list;create;patch;delete

// write compares what stands with what is wanted, and writes what differs.
func (r *reportsReconciler) write(ctx context.Context, api *viewerAPI, namespace string, wanted []openreports.Report) error {
	standing, versions, err := r.read(ctx, api, namespace)
	if err != nil {
		return err
	}
	policyreport.Date(wanted, standing, r.clock.Now())
	var errs []error
	left := make(map[string]*openreports.Report)
	for i := range standing {
		left[standing[i].Name] = &standing[i]
	}
	for i := range wanted {
		w := &wanted[i]
		if s := left[w.Name]; s != nil && policyreport.Says(s, w) {
			r.note(w, versions[w.Name])
		} else {
			errs = append(errs, r.apply(ctx, api, w))
		}
		delete(left, w.Name)
	}
	for _, s := range left {
		errs = append(errs, r.remove(ctx, api, s))
	}
	return errors.Join(errs...)
}

// read reads ours in a namespace, and in which version each is.
func (r *reportsReconciler) read(ctx context.Context, api *viewerAPI, namespace string) ([]openreports.Report, map[string]string, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(api.kind)
	if err := r.live.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels(managed)); err != nil {
		return nil, nil, fmt.Errorf("list the reports in namespace %s: %w", namespace, err)
	}
	var out []openreports.Report
	versions := make(map[string]string)
	for i := range list.Items {
		one, err := api.decode(&list.Items[i])
		if err != nil {
			// Somebody made of it what cannot be read: it is written anew.
			one = openreports.Report{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: list.Items[i].GetName(), UID: list.Items[i].GetUID()}}
		}
		out = append(out, one)
		versions[one.Name] = list.Items[i].GetResourceVersion()
	}
	return out, versions, nil
}

// apply writes a report, over whatever stands under its name.
func (r *reportsReconciler) apply(ctx context.Context, api *viewerAPI, w *openreports.Report) error {
	if err := r.spend(ctx, w.Namespace); err != nil {
		return err
	}
	o, err := api.encode(w)
	if err != nil {
		return err
	}
	err = r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.ForceOwnership, client.FieldOwner(v1alpha1.ManagedBy))
	if err != nil {
		return fmt.Errorf("write %s %s/%s: %w", api.kind.Kind, w.Namespace, w.Name, err)
	}
	r.note(w, o.GetResourceVersion())
	return nil
}

func (r *reportsReconciler) remove(ctx context.Context, api *viewerAPI, s *openreports.Report) error {
	if err := r.spend(ctx, s.Namespace); err != nil {
		return err
	}
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}}
	o.SetGroupVersionKind(api.kind)
	if err := r.client.Delete(ctx, o, client.Preconditions{UID: &s.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %s/%s: %w", api.kind.Kind, s.Namespace, s.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, client.ObjectKeyFromObject(s))
	return nil
}

// spend waits until something may be written, and lets the namespace rest afterwards.
func (r *reportsReconciler) spend(ctx context.Context, namespace string) error {
	if err := r.limit.Wait(ctx); err != nil {
		return fmt.Errorf("wait until the reports of namespace %s may be written: %w", namespace, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	for name, until := range r.rests {
		if now.After(until) {
			delete(r.rests, name)
		}
	}
	r.rests[namespace] = now.Add(reportPace)
	return nil
}

// note keeps that a report stands as it is wanted.
func (r *reportsReconciler) note(w *openreports.Report, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[client.ObjectKeyFromObject(w)] = stand{version, digest(w)}
	r.refused = false
}

// see is told how a report of ours stands now, and tells whether that is news.
func (r *reportsReconciler) see(o *metav1.PartialObjectMetadata, gone bool) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	known, ok := r.written[name]
	switch {
	case gone:
		delete(r.written, name)
		return ok
	case ok && known.version == o.ResourceVersion:
		return false
	}
	r.written[name] = stand{version: o.ResourceVersion}
	return true
}

// turnTo begins with an API from scratch; nil for none.
func (r *reportsReconciler) turnTo(api *viewerAPI) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.api, r.refused = api, false
	r.written, r.rests = make(map[types.NamespacedName]stand), make(map[string]time.Time)
}

// tellRefused tells once that something may not be done, until it could be.
func (r *reportsReconciler) tellRefused(l logr.Logger, err error) {
	r.mu.Lock()
	told := r.refused
	r.refused = true
	r.mu.Unlock()
	if !told {
		l.Info("reports for viewers of policies cannot be written: apply config/rbac/reports, or remove the quota that refuses them",
			"error", err.Error())
	}
}

// digest of what a report says. The times do not count: they follow from when it is written.
func digest(r *openreports.Report) uint64 {
	timeless := *r
	timeless.Results = make([]openreports.ReportResult, len(r.Results))
	copy(timeless.Results, r.Results)
	for i := range timeless.Results {
		timeless.Results[i].Timestamp = metav1.Timestamp{}
	}
	h := fnv.New64a()
	if err := json.NewEncoder(h).Encode(&timeless); err != nil {
		panic(err) // of strings and numbers alone
	}
	return h.Sum64()
}
