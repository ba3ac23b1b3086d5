// SPDX-License-Identifier: Apache-2.0

// Package apiserver starts a real API server and its etcd for tests, from the folder that
// KUBEBUILDER_ASSETS names, and installs into it what config/ ships.
package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// ManagerAccount is the account of the manager, as config/rbac/manager binds its rights to it.
const ManagerAccount = "system:serviceaccount:" + v1alpha1.InstallNamespace + ":bulkhead-manager"

// Server is an API server that runs.
type Server struct {
	// Config leads to it as an administrator.
	Config *rest.Config
	// Client is one of the administrator's. It knows Kubernetes' types and Bulkhead's.
	Client client.WithWatch
	// Stop ends the API server and its etcd.
	Stop func() error
}

// With changes how an API server is started.
type With func(*envtest.Environment)

// CRDs installs Bulkhead's CustomResourceDefinitions.
func CRDs(e *envtest.Environment) {
	e.CRDDirectoryPaths, e.ErrorIfCRDPathMissing = []string{configFile("crd")}, true
}

// Flag appends to a flag of the API server, without its dashes.
func Flag(name string, values ...string) With {
	return func(e *envtest.Environment) { e.ControlPlane.GetAPIServer().Configure().Append(name, values...) }
}

// Start starts an API server; the error says how to come by one if there is none.
func Start(with ...With) (*Server, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS does not say where kube-apiserver and etcd are: run this through make")
	}
	e := &envtest.Environment{}
	for _, w := range with {
		w(e)
	}
	config, err := e.Start()
	if err != nil {
		return nil, fmt.Errorf("start the API server in KUBEBUILDER_ASSETS=%q: %w", os.Getenv("KUBEBUILDER_ASSETS"), err)
	}
	// Who asks without pause is not to be slowed down.
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: Scheme()})
	if err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return &Server{Config: config, Client: c, Stop: e.Stop}, nil
}

// Scheme has Kubernetes' types and Bulkhead's.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// As is the way to the API server as somebody else.
func (s *Server) As(user string, groups ...string) *rest.Config {
	c := rest.CopyConfig(s.Config)
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return c
}

// AsManager is the way with no more rights than the manager has.
func (s *Server) AsManager() *rest.Config {
	return s.As(ManagerAccount, "system:serviceaccounts", "system:authenticated")
}

// Install applies files and folders of config/, such as "webhook/secret.yaml" and "rbac/manager": folders as
// `kubectl apply -k` does.
func (s *Server) Install(ctx context.Context, names ...string) error {
	for _, name := range names {
		manifests, err := render(configFile(name))
		if err != nil {
			return fmt.Errorf("read config/%s: %w", name, err)
		}
		if err := s.Apply(ctx, manifests); err != nil {
			return fmt.Errorf("apply config/%s: %w", name, err)
		}
	}
	return nil
}

// render is what a file says, or what kustomize makes of a folder.
func render(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		manifests, readErr := os.ReadFile(path)
		return manifests, errors.Join(err, readErr)
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		return nil, err
	}
	return made.AsYaml()
}

// Apply applies every document, as `kubectl apply --server-side` does.
func (s *Server) Apply(ctx context.Context, manifests []byte) error {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		var o unstructured.Unstructured
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(&o), client.FieldOwner("test")); err != nil {
			return err
		}
	}
}

// configFile is a file or folder of config/, from wherever the test runs.
func configFile(name string) string {
	_, here, _, _ := goruntime.Caller(0)
	return filepath.Join(filepath.Dir(here), "../../config", name)
}

// BehindWebhook makes replicas of the manager, by the names of their pods, what is ready behind the
// webhook's Service, as Kubernetes' controller would. Their addresses are nobody's.
func (s *Server) BehindWebhook(ctx context.Context, replicas ...string) error {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.InstallNamespace, Name: v1alpha1.WebhookServiceName + "-1"}}
	_, err := controllerutil.CreateOrUpdate(ctx, s.Client, slice, func() error {
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: v1alpha1.WebhookServiceName}
		slice.AddressType = discoveryv1.AddressTypeIPv4
		slice.Endpoints = nil
		for i, name := range replicas {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{fmt.Sprintf("10.0.0.%d", i+1)}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: v1alpha1.InstallNamespace, Name: name},
			})
		}
		return nil
	})
	return err
}
