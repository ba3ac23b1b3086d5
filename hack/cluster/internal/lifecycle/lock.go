// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"net"
	"time"
)

// lock keeps two launchers from working on clusters at the same time. An abstract
// socket is a lock that leaves no file, and that no crash can leave locked.
func lock(ctx context.Context) (func(), error) {
	deadline := time.Now().Add(time.Minute)
	for {
		listener, err := net.Listen("unix", "@bulkhead-cluster")
		if err == nil {
			return func() { listener.Close() }, nil //nolint:errcheck // the process ends soon, which closes it too
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("wait for another `cluster up` or `cluster down` to finish: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("interrupted: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
