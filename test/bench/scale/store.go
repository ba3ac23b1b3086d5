// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// store puts objects where the API server keeps them, as the API server writes them: a cluster of
// 150,000 pods is made in a minute and not in an hour. Nobody else's part is measured.
type store struct {
	client *clientv3.Client
	batch  []clientv3.Op
	bytes  int
}

const (
	// A transaction may have 128 operations (--max-txn-ops of etcd), and a request 1.5 MiB.
	batchOps   = 128
	batchBytes = 1 << 20
)

func openStore(endpoint string) (*store, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %s: %w", endpoint, err)
	}
	return &store{client: c}, nil
}

// put stores an object that Kubernetes itself knows, in protobuf.
func (s *store) put(ctx context.Context, key string, o runtime.Object) error {
	var b bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(o, &b); err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return s.add(ctx, key, b.String())
}

// putCustom stores an object of a CustomResourceDefinition, in JSON.
func (s *store) putCustom(ctx context.Context, key string, o any) error {
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return s.add(ctx, key, string(b))
}

func (s *store) add(ctx context.Context, key, value string) error {
	if len(s.batch) == batchOps || s.bytes+len(value) > batchBytes {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch, s.bytes = append(s.batch, clientv3.OpPut("/registry/"+key, value)), s.bytes+len(value)
	return nil
}

func (s *store) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	_, err := s.client.Txn(ctx).Then(s.batch...).Commit()
	s.batch, s.bytes = s.batch[:0], 0
	if err != nil {
		return fmt.Errorf("write to etcd: %w", err)
	}
	return nil
}

// fill makes the cluster.
func (s *store) fill(ctx context.Context, w *world) error {
	for n := range w.Namespaces {
		if err := s.put(ctx, "namespaces/"+w.namespaceName(n), w.namespace(n)); err != nil {
			return err
		}
	}
	for n := range w.Nodes {
		if err := s.put(ctx, "minions/"+w.nodeName(n), w.nodeObject(n)); err != nil {
			return err
		}
		if err := s.putCustom(ctx, v1alpha1.GroupVersion.Group+"/nodeisolationreports/"+w.nodeName(n), w.report(n)); err != nil {
			return err
		}
	}
	for i := range w.Pods {
		p := w.pod(i)
		if err := s.put(ctx, "pods/"+p.Namespace+"/"+p.Name, p); err != nil {
			return err
		}
	}
	return s.flush(ctx)
}

// renew has every agent say that it is alive, spread over the interval at which it does.
func (s *store) renew(ctx context.Context, w *world) error {
	for n := range w.Nodes {
		l := w.lease(n, time.Now())
		if err := s.put(ctx, "leases/"+l.Namespace+"/"+l.Name, l); err != nil {
			return err
		}
	}
	return s.flush(ctx)
}

// keepRenewing renews the Leases until the context ends, some of them each second.
func (s *store) keepRenewing(ctx context.Context, w *world, failed func(error)) {
	const interval = 40
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 0; ; second++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for n := second % interval; n < w.Nodes; n += interval {
			l := w.lease(n, time.Now())
			if err := s.put(ctx, "leases/"+l.Namespace+"/"+l.Name, l); err != nil && ctx.Err() == nil {
				failed(err)
			}
		}
		if err := s.flush(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}
