// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/podcache"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

// ReadyCheck is the name of the readiness check that [Setup] adds to the manager.
const ReadyCheck = "admission"

// Options say where this replica runs and where it listens.
type Options struct {
	// Namespace of the installation: its Secret and its leases are there. Defaults to
	// [v1alpha1.InstallNamespace].
	Namespace string
	// PodName of this replica. Required: its Lease is named after it.
	PodName string
	// PodUID of this replica, so that its Lease goes when it goes. If it is empty, the Lease stays
	// and runs out.
	PodUID types.UID
	// Host and Port to listen on. They default to all addresses and to 9443.
	Host string
	Port int
	// ExtraDNSNames are names in the certificate beside the Service's, for an API server that
	// calls by URL.
	ExtraDNSNames []string
	// ExcludedNamespaces are those that admission leaves alone: a policy's author is not told of
	// their pods. See [v1alpha1.ExcludedNamespaces].
	ExcludedNamespaces []string
	// Ending is closed when this replica was asked to end: from then on it is not ready, and
	// answers all the same. See [Linger]. It may be nil.
	Ending <-chan struct{}
	// Clock defaults to the real one.
	Clock clock.Clock
}

// SecretCache narrows the manager's cache of Secrets to the one that holds the certificates: list
// and watch can then be granted by that name. It belongs into cache.Options.ByObject.
func SecretCache(namespace string) cache.ByObject {
	return cache.ByObject{Namespaces: map[string]cache.Config{
		namespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", v1alpha1.WebhookSecretName)},
	}}
}

// Setup adds the webhooks to a manager, with their certificate, the policies that they judge by,
// the Lease that says so, and a readiness check named [ReadyCheck]. All of it runs on every
// replica, whoever leads. It listens by a server of its own, not by the manager's.
func Setup(mgr manager.Manager, o Options) error {
	if o.PodName == "" {
		return errors.New("set up admission: which pod is this? Set POD_NAME to its name")
	}
	o.Namespace = cmp.Or(o.Namespace, v1alpha1.InstallNamespace)
	o.ExcludedNamespaces = v1alpha1.ExcludedNamespaces(o.Namespace, o.ExcludedNamespaces)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	log := mgr.GetLogger().WithName("admission")
	metrics := registered()
	policies := newStore(mgr.GetCache(), log, metrics.forget)
	certs := newCertificates(mgr.GetClient(),
		client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.WebhookSecretName},
		append([]string{v1alpha1.WebhookServiceName + "." + o.Namespace + ".svc"}, o.ExtraDNSNames...), o.Clock)
	certs.expiry = metrics.expiry.Set
	if err := certs.setup(mgr); err != nil {
		return fmt.Errorf("set up the webhook's certificate: %w", err)
	}
	known := &synced{cache: mgr.GetCache()}
	server := &server{
		address: net.JoinHostPort(o.Host, strconv.Itoa(cmp.Or(o.Port, defaultPort))),
		certs:   certs, log: log, handler: newMux(mgr, &o, policies, metrics, log),
	}
	published := &publisher{
		client: mgr.GetClient(), store: policies, podName: o.PodName, podUID: o.PodUID, clock: o.Clock, log: log,
		lease: client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.WebhookLeasePrefix + o.PodName},
	}
	for _, r := range []manager.Runnable{policies, known, published, server} {
		if err := mgr.Add(r); err != nil {
			return fmt.Errorf("set up admission: %w", err)
		}
	}
	return mgr.AddReadyzCheck(ReadyCheck, readiness(o.Ending, policies.ready, known.ready, certs.ready, server.ready))
}

const defaultPort = 9443

// newMux leads each path to its handler.
func newMux(mgr manager.Manager, o *Options, policies *store, metrics *instruments, log logr.Logger) http.Handler {
	mux := http.NewServeMux()
	for path, e := range map[string]*endpoint{
		v1alpha1.PodWebhookPath: {resource: resourcePods, handler: &podHandler{
			policies: policies.policies, namespaces: newNamespaces(mgr.GetCache(), mgr.GetAPIReader(), log), clock: o.Clock, metrics: metrics, log: log,
			judge: (*isolation.Policy).Judge,
		}},
		v1alpha1.TemplateWebhookPath: {resource: resourceTemplates, handler: &templateHandler{
			policies: policies.policies, namespaces: newNamespaces(mgr.GetCache(), mgr.GetAPIReader(), log), clock: o.Clock, metrics: metrics, log: log,
			judge: (*isolation.Policy).Judge,
		}},
		v1alpha1.PolicyWebhookPath: {resource: resourcePolicies, handler: &policyHandler{
			clock: o.Clock, log: log, expressible: func(p *v1alpha1.IsolationPolicy) error {
				_, err := vap.Compile(p, vap.Options{ExcludedNamespaces: o.ExcludedNamespaces})
				return err
			},
			pods: population{
				cached: mgr.GetCache(), excluded: o.ExcludedNamespaces,
				pods: func(ctx context.Context) ([]*ledger.Pod, error) { return podcache.List(ctx, mgr.GetCache()) },
			},
			mayEvict: mayEvict(mgr.GetClient()),
		}},
	} {
		e.limits, e.metrics, e.log, e.ending = newLimits(), metrics, log, o.Ending
		mux.Handle(path, e)
		mux.Handle(path+"/{"+inPath+"}", e)
	}
	return mux
}

// readiness says why this replica should not be asked: it was asked to end, or one of the checks
// fails.
func readiness(ending <-chan struct{}, checks ...func() error) healthz.Checker {
	return func(*http.Request) error {
		select {
		case <-ending:
			return errors.New("this replica was asked to end")
		default:
		}
		for _, check := range checks {
			if err := check(); err != nil {
				return err
			}
		}
		return nil
	}
}
