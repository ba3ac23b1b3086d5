// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

// judged are the cases in which Bulkhead judges.
var judged = []string{caseFew, caseVAP, caseWebhook}

// compiled are the objects that the policies become, policies before bindings. The benchmark stores
// them itself, so that the manager has the ten policies of the webhook in memory and no more.
func compiled() ([]client.Object, error) {
	all := heldByVAP()
	var objects []client.Object
	for i := range all {
		o, err := vap.Compile(&all[i], vap.Options{ExcludedNamespaces: []string{v1alpha1.InstallNamespace, "kube-system"}})
		if err != nil {
			return nil, fmt.Errorf("compile IsolationPolicy %s: %w", all[i].Name, err)
		}
		objects = append(objects, o.Policy, o.Binding)
	}
	return objects, nil
}

// holdByVAP stores the compiled policies and waits until the last of them refuses: the API server
// takes them up in their order.
func (s *server) holdByVAP(ctx context.Context) error {
	objects, err := compiled()
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := s.admin.Create(ctx, o); err != nil {
			return fmt.Errorf("create %T %s: %w", o, o.GetName(), err)
		}
	}
	return eventually(ctx, func(ctx context.Context) error { return s.probe(ctx, caseVAP, true) })
}

func (s *server) removeVAPs(ctx context.Context) error {
	objects, err := compiled()
	for _, o := range objects {
		err = errors.Join(err, s.admin.Delete(ctx, o))
	}
	return err
}
