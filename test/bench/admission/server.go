// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/go-logr/logr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

// patience is how long anything may take to come into force.
const patience = time.Minute

// server is an API server with its etcd, and nothing else of a cluster: no controller disturbs.
type server struct {
	environment *envtest.Environment
	config      *rest.Config
	kubeconfig  string
	admin       client.Client
	version     string
	// The numbers of the processes.
	apiServer, etcd int
}

func startServer(ctx context.Context, dir string) (*server, error) {
	ctrl.SetLogger(logr.Discard())
	s := &server{environment: &envtest.Environment{}}
	args := s.environment.ControlPlane.GetAPIServer().Configure()
	// As in any cluster: pods get their account's token.
	args.Disable("disable-admission-plugins")
	// There is no kube-proxy: the API server itself goes to the endpoints of the webhook's Service.
	args.Set("enable-aggregator-routing", "true")
	config, err := s.environment.Start()
	if err != nil {
		return nil, fmt.Errorf("start the API server in KUBEBUILDER_ASSETS=%q: %w", os.Getenv("KUBEBUILDER_ASSETS"), err)
	}
	if err := s.connect(ctx, config, dir); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *server) stop() { _ = s.environment.Stop() }

func (s *server) connect(ctx context.Context, config *rest.Config, dir string) error {
	s.config = rest.CopyConfig(config)
	s.config.QPS = -1
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return err
	}
	if s.admin, err = client.New(s.config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	d, err := discovery.NewDiscoveryClientForConfig(s.config)
	if err != nil {
		return err
	}
	version, err := d.ServerVersion()
	if err != nil {
		return err
	}
	s.version = version.GitVersion
	if s.apiServer, err = process.Child("kube-apiserver"); err != nil {
		return err
	}
	if s.etcd, err = process.Child("etcd"); err != nil {
		return err
	}
	s.kubeconfig = filepath.Join(dir, "admin.kubeconfig")
	if err := os.WriteFile(s.kubeconfig, s.environment.KubeConfig, 0o600); err != nil {
		return err
	}
	return s.makeNamespaces(ctx)
}

// makeNamespaces makes one for each case, with the account that a controller would make.
func (s *server) makeNamespaces(ctx context.Context) error {
	labels := map[string]map[string]string{
		caseNone:    nil,
		casePSA:     {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"},
		caseFew:     {engineLabel: namespaces[caseFew]},
		caseVAP:     {engineLabel: namespaces[caseVAP]},
		caseWebhook: {engineLabel: namespaces[caseWebhook]},
	}
	for name, set := range labels {
		n := namespaces[name]
		for _, o := range []client.Object{
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n, Labels: set}},
			&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: n}},
		} {
			if err := s.admin.Create(ctx, o); err != nil {
				return fmt.Errorf("make namespace %s: %w", n, err)
			}
		}
	}
	return nil
}

// install puts Bulkhead as it is shipped onto the server, starts the manager and returns when both
// engines hold.
func (s *server) install(ctx context.Context, binary, dir string, profiled bool) (*manager, error) {
	kubectl := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"),
		"--kubeconfig", s.kubeconfig, "--cache-dir", filepath.Join(dir, "cache"), "apply", "--server-side", "-k", "config/default")
	if out, err := kubectl.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("kubectl apply -k config/default: %w: %s", err, out)
	}
	m, err := s.startManager(ctx, binary, dir, profiled)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.holdByWebhook(ctx), s.holdByVAP(ctx)); err != nil {
		return nil, fmt.Errorf("%w; the manager says:\n%s", err, m.Log())
	}
	return m, m.startProfile()
}

// holdByWebhook stores the policies and waits until the manager calls each enforced.
func (s *server) holdByWebhook(ctx context.Context) error {
	all := heldByWebhook()
	for i := range all {
		p := &all[i]
		// The webhook that judges policies may be announced a moment before it is heard.
		if err := eventually(ctx, func(ctx context.Context) error {
			return client.IgnoreAlreadyExists(s.admin.Create(ctx, p.DeepCopy()))
		}); err != nil {
			return fmt.Errorf("create IsolationPolicy %s: %w", p.Name, err)
		}
	}
	for i := range all {
		if err := eventually(ctx, func(ctx context.Context) error { return s.enforced(ctx, all[i].Name) }); err != nil {
			return err
		}
	}
	return eventually(ctx, func(ctx context.Context) error { return s.probe(ctx, caseWebhook, true) })
}

func (s *server) enforced(ctx context.Context, name string) error {
	var p v1alpha1.IsolationPolicy
	if err := s.admin.Get(ctx, client.ObjectKey{Name: name}, &p); err != nil {
		return err
	}
	for _, c := range p.Status.Conditions {
		if c.Type == v1alpha1.ConditionEnforced {
			if c.Status == metav1.ConditionTrue && c.ObservedGeneration == p.Generation {
				return nil
			}
			return fmt.Errorf("IsolationPolicy %s is not enforced: %s: %s", name, c.Reason, c.Message)
		}
	}
	return fmt.Errorf("IsolationPolicy %s has no condition %s", name, v1alpha1.ConditionEnforced)
}

// probe creates, as a trial, a pod that violates the policy that was stored last of those that match,
// and says if the answer is not the one that is wanted.
func (s *server) probe(ctx context.Context, name string, refused bool) error {
	p, field := probingPod(name)
	p.Namespace = namespaces[name]
	err := s.admin.Create(ctx, p, client.DryRunAll)
	switch {
	case err != nil && !strings.Contains(err.Error(), field):
		return fmt.Errorf("%s: a probe could not be judged: %w", name, err)
	case refused && err == nil:
		return fmt.Errorf("%s: a pod that violates a policy is admitted", name)
	case !refused && err != nil:
		return fmt.Errorf("%s: a pod is refused that nothing should forbid: %w", name, err)
	}
	return nil
}

// uninstall removes all that judges pods, and returns when nobody is judged any more.
func (s *server) uninstall(ctx context.Context, m *manager) error {
	for _, name := range judged {
		// To the end both have held, or the figures mean nothing.
		if err := s.probe(ctx, name, true); err != nil {
			return err
		}
	}
	m.Stop()
	if err := s.removeWebhook(ctx); err != nil {
		return err
	}
	for i := range policies() {
		p := policies()[i]
		if err := s.admin.Delete(ctx, &p); err != nil {
			return fmt.Errorf("delete IsolationPolicy %s: %w", p.Name, err)
		}
	}
	if err := s.removeVAPs(ctx); err != nil {
		return err
	}
	for _, name := range judged {
		if err := eventually(ctx, func(ctx context.Context) error { return s.probe(ctx, name, false) }); err != nil {
			return err
		}
	}
	return nil
}

// eventually tries until it succeeds, and returns the last error if it does not in time.
func eventually(ctx context.Context, try func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		if err := try(ctx); err != nil && ctx.Err() == nil {
			last = err
			return false, nil
		}
		return ctx.Err() == nil, nil
	})
	if err != nil && last != nil && !apierrors.IsNotFound(err) {
		return last
	}
	return err
}
