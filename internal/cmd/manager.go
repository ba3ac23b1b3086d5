// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/controllers"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/internal/podcache"
)

const (
	// linger is how long the webhooks are served after SIGTERM, until nobody sends a review here.
	linger = 5 * time.Second
	// drain is how long what has begun by then may take. Both fit into the pod's grace period.
	drain = 10 * time.Second
)

// managerOptions are the flags of the manager.
type managerOptions struct {
	namespace, podName, podUID string
	excluded                   []string
	metrics, health            string
	webhookPort                int
}

func managerCommand() *cobra.Command {
	o := managerOptions{
		namespace: envOr("POD_NAMESPACE", v1alpha1.InstallNamespace),
		podName:   os.Getenv("POD_NAME"),
		podUID:    os.Getenv("POD_UID"),
	}
	c := &cobra.Command{
		Use:   "manager",
		Short: "Judge pods at admission, and tell in policies' status what the agents see",
		Long: `Serve the admission webhooks, on every replica, and run the controllers, on the replica that leads.
It needs no privilege on its node.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			setLogger(c.ErrOrStderr())
			return o.run(ctrl.SetupSignalHandler())
		},
	}
	f := c.Flags()
	f.StringVar(&o.namespace, "namespace", o.namespace, "where Bulkhead is installed ($POD_NAMESPACE)")
	f.StringVar(&o.podName, "pod-name", o.podName, "name of this pod ($POD_NAME)")
	f.StringVar(&o.podUID, "pod-uid", o.podUID, "UID of this pod ($POD_UID)")
	f.StringSliceVar(&o.excluded, "excluded-namespaces", v1alpha1.ExcludedNamespaces(v1alpha1.InstallNamespace, nil),
		"namespaces whose pods are never asked about at admission; the controllers judge them like any other")
	f.StringVar(&o.metrics, "metrics-bind-address", ":8080", "where metrics are served; 0 for nowhere")
	f.StringVar(&o.health, "health-probe-bind-address", ":8081", "where health and readiness are served")
	f.IntVar(&o.webhookPort, "webhook-port", 9443, "where the webhooks are served")
	return c
}

// Who leads stands on a Lease, and is told by an event of the old kind when that changes.
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,resourceNames=bulkhead-manager,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=bulkhead-system,resources=events,verbs=create

// run runs the manager until ctx ends.
func (o *managerOptions) run(ctx context.Context) error {
	if o.podName == "" {
		return errors.New("which pod is this? Set --pod-name or POD_NAME to its name")
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the API server: %w: run in a pod, or set KUBECONFIG", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return fmt.Errorf("register the API types: %w", err)
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         o.cache(),
		Metrics:                       metricsserver.Options{BindAddress: o.metrics},
		HealthProbeBindAddress:        o.health,
		LeaderElection:                true,
		LeaderElectionID:              "bulkhead-manager",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       ptr.To(drain),
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := admission.Setup(mgr, admission.Options{
		Namespace: o.namespace, PodName: o.podName, PodUID: types.UID(o.podUID), Port: o.webhookPort,
		ExcludedNamespaces: o.excluded, Ending: ctx.Done(),
	}); err != nil {
		return err
	}
	if err := controllers.Setup(mgr, controllers.Options{
		Instance: o.podName, InstallNamespace: o.namespace, ExcludedNamespaces: o.excluded,
	}); err != nil {
		return fmt.Errorf("set up the controllers: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("set up health: %w", err)
	}
	return mgr.Start(admission.Linger(ctx, linger))
}

// cache keeps in memory what is judged, and no Secret but the one with the webhook's certificate.
func (o *managerOptions) cache() cache.Options {
	here := cache.ByObject{Namespaces: map[string]cache.Config{o.namespace: {}}}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:    podcache.Options(),
			&corev1.Node{}:   controllers.NodeCache(),
			&corev1.Secret{}: admission.SecretCache(o.namespace),
			&admissionregistrationv1.ValidatingWebhookConfiguration{}:   controllers.WebhookConfigurationCache(),
			&admissionregistrationv1.ValidatingAdmissionPolicy{}:        controllers.GeneratedCache(),
			&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}: controllers.GeneratedCache(),
			&coordinationv1.Lease{}:                                     here,
			&discoveryv1.EndpointSlice{}:                                here,
		},
	}
}
