// SPDX-License-Identifier: Apache-2.0

// Package cluster leads the commands that read a cluster to it, as kubectl would be led.
package cluster

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Connect makes a reader of the cluster that kubectl would speak to, which must answer, and tells the
// namespace that it would speak of.
func Connect(flags *genericclioptions.ConfigFlags) (client.Reader, string, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w: name a kubeconfig with --kubeconfig", err)
	}
	if nowhere(flags) {
		return nil, "", errors.New("find the cluster: no kubeconfig names one: name a kubeconfig with --kubeconfig or KUBECONFIG")
	}
	asking, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, "", fmt.Errorf("connect to the cluster: %w", err)
	}
	// Whoever is led to the wrong place is told once, and not by each thing that cannot be read there.
	if _, err := asking.ServerVersion(); err != nil {
		return nil, "", fmt.Errorf("reach the cluster at %s: %w: --context and --kubeconfig lead elsewhere", config.Host, err)
	}
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("find the namespace: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, "", err
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("connect to the cluster: %w", err)
	}
	return reader, cmp.Or(namespace, "default"), nil
}

// nowhere tells whether nothing leads to a cluster: then kubectl would try a port of this machine.
func nowhere(flags *genericclioptions.ConfigFlags) bool {
	loader := flags.ToRawKubeConfigLoader()
	raw, err := loader.RawConfig()
	if err != nil || len(raw.Clusters) > 0 || flags.APIServer != nil && *flags.APIServer != "" {
		return false
	}
	_, err = rest.InClusterConfig()
	return err != nil
}

// NotInstalled says what is to be done if the error is that the cluster does not know a kind of
// Bulkhead's.
func NotInstalled(err error) error {
	if meta.IsNoMatchError(err) {
		return errors.New("this cluster does not know them: install Bulkhead")
	}
	return err
}
