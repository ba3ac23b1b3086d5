// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
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
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	log := mgr.GetLogger().WithName("admission")
	policies := newStore(mgr.GetCache(), log)
	certs := newCertificates(mgr.GetClient(),
		client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.WebhookSecretName},
		append([]string{v1alpha1.WebhookServiceName + "." + o.Namespace + ".svc"}, o.ExtraDNSNames...), o.Clock)
	if err := certs.setup(mgr); err != nil {
		return fmt.Errorf("set up the webhook's certificate: %w", err)
	}
	server := newServer(mgr, &o, policies, certs)
	published := &publisher{
		client: mgr.GetClient(), store: policies, podName: o.PodName, podUID: o.PodUID, clock: o.Clock, log: log,
		lease: client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.WebhookLeasePrefix + o.PodName},
	}
	for _, r := range []manager.Runnable{policies, published, server} {
		if err := mgr.Add(r); err != nil {
			return fmt.Errorf("set up admission: %w", err)
		}
	}
	return mgr.AddReadyzCheck(ReadyCheck, readiness(policies, certs, server.StartedChecker()))
}

// newServer serves both webhooks with the certificate in memory.
func newServer(mgr manager.Manager, o *Options, policies *store, certs *certificates) webhook.Server {
	server := webhook.NewServer(webhook.Options{
		Host: o.Host, Port: o.Port,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.GetCertificate = certs.getCertificate
			// The API server speaks HTTP/1.1 to webhooks, so that it spreads calls over replicas.
			c.NextProtos = []string{"http/1.1"}
		}},
	})
	decoder := admission.NewDecoder(mgr.GetScheme())
	pods := &podHandler{
		policies: policies.policies, decoder: decoder, clock: o.Clock, metrics: registered(),
		namespaces: &namespaces{cached: mgr.GetClient(), live: mgr.GetAPIReader()},
		judge:      (*isolation.Policy).Judge,
	}
	server.Register(v1alpha1.PodWebhookPath, whenRead(policies, &admission.Webhook{Handler: pods}))
	server.Register(v1alpha1.PolicyWebhookPath, &admission.Webhook{Handler: &policyHandler{decoder: decoder, clock: o.Clock}})
	return server
}

// whenRead makes the call itself fail until the policies have been read. The API server then does
// as failurePolicy says: it refuses where a Deny policy asked for that, and nowhere else. A refusal
// in the answer would refuse everywhere.
func whenRead(policies *store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := policies.policies(); !ok {
			http.Error(w, errNotRead.Error(), http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readiness says why this replica should not be asked yet: it has not read the policies, it has no
// certificate, or it does not listen.
func readiness(policies *store, certs *certificates, started healthz.Checker) healthz.Checker {
	return func(r *http.Request) error {
		if _, ok := policies.policies(); !ok {
			return errNotRead
		}
		if err := certs.ready(); err != nil {
			return err
		}
		return started(r)
	}
}
