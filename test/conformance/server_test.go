// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

// server is an API server on which Pod Security itself is off: what it refuses, Bulkhead refuses.
type server struct {
	*apiserver.Server
}

func startServer(t *testing.T) *server {
	t.Helper()
	s, err := apiserver.Start(
		apiserver.Flag("disable-admission-plugins", "PodSecurity"),
		apiserver.Routed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the API server: %v", err)
		}
	})
	return &server{s}
}

// install applies config/default as it is shipped.
func (s *server) install(ctx context.Context, t *testing.T) {
	t.Helper()
	NewWithT(t).Expect(s.Install(ctx, "default")).To(Succeed())
}
