// SPDX-License-Identifier: Apache-2.0

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// Status is what a supervisor tells about its services, by name.
type Status map[string]ServiceStatus

// ServiceStatus is what a supervisor tells about one service.
type ServiceStatus struct {
	PID      int // in the supervisor's PID namespace; 0 while it does not run
	Starts   int
	Exits    int
	LastExit string
}

// ReadStatus reads what the supervisor with that log folder wrote last. A
// supervisor that has not started anything yet has an empty status.
func ReadStatus(logs string) (Status, error) {
	data, err := os.ReadFile(filepath.Join(logs, "status.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Status{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the status of services: %w", err)
	}
	status := Status{}
	if err := json.Unmarshal(data, &status); err != nil {
		return nil, fmt.Errorf("read the status of services in %s: %w", logs, err)
	}
	return status, nil
}

// note changes what is told about a service.
func (s *Supervisor) note(service string, change func(*ServiceStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.status[service]
	change(&current)
	s.status[service] = current
	data, err := json.MarshalIndent(s.status, "", "  ")
	if err == nil {
		err = state.WriteFile(filepath.Join(s.logs, "status.json"), append(data, '\n'), 0o600)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "write the status of services: %v\n", err)
	}
}
