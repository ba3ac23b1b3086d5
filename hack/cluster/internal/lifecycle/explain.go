// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/machine"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/process"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

const (
	tooManyExits = 3  // something may end once because another is not there yet
	tailLines    = 15 // of a log that is shown without being asked for
)

// Component is a process of the cluster: the machine itself, a component of the
// control plane, a node, or <node>/<daemon>.
type Component struct {
	Name   string
	Log    string
	Status process.ServiceStatus

	// Node is the node that its pid belongs to, if it is a node's daemon.
	Node string
}

// Components lists the cluster's processes.
func Components(dir state.Dir) ([]Component, error) {
	components := []Component{{Name: machine.LogName, Log: dir.Logs(machine.LogName + ".log")}}
	cluster, err := state.Load(dir)
	if err != nil {
		return nil, err
	}
	folders := []string{""}
	for _, node := range cluster.Nodes {
		folders = append(folders, node.Name)
	}
	for _, folder := range folders {
		status, err := process.ReadStatus(dir.Logs(folder))
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(status)) {
			components = append(components, Component{
				Name:   filepath.Join(folder, name),
				Log:    dir.Logs(folder, name+".log"),
				Status: status[name],
				Node:   folder,
			})
		}
	}
	return components, nil
}

// Failing names a component that ends again and again, or returns "".
func Failing(dir state.Dir) string {
	components, err := Components(dir)
	if err != nil {
		return "" // it is still being written
	}
	for _, component := range components {
		if component.Status.Exits >= tooManyExits {
			return component.Name
		}
	}
	return ""
}

// Explain shows the end of the logs of what did not run well.
func Explain(dir state.Dir) string {
	components, err := Components(dir)
	if err != nil {
		return ""
	}
	var text strings.Builder
	for _, component := range components {
		log := tail(component.Log)
		if log == "" || (component.Name != machine.LogName && component.Status.Exits == 0) {
			continue
		}
		fmt.Fprintf(&text, "--- the end of the log of %s", component.Name)
		if component.Status.LastExit != "" {
			fmt.Fprintf(&text, " (ended %d times, the last one with %s)", component.Status.Exits, component.Status.LastExit)
		}
		fmt.Fprintf(&text, "\n%s\n", log)
	}
	return text.String()
}

func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
