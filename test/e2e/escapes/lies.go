// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// realRuntime is the one that lie calls.
const realRuntime = "/opt/bulkhead/node/runc"

// lie is runc, but for containers whose environment says LIE: these get something else than what was
// asked for.
func lie(args []string) error {
	if slices.Contains(args, "create") {
		if i := slices.Index(args, "--bundle"); i >= 0 && i+1 < len(args) {
			more, err := change(filepath.Join(args[i+1], "config.json"))
			if err != nil {
				return err
			}
			at := slices.Index(args, "create") + 1
			args = slices.Insert(args, at, more...)
		}
	}
	return unix.Exec(realRuntime, append([]string{realRuntime}, args...), os.Environ())
}

// object is a part of a configuration.
type object = map[string]any

// change makes a lie of the configuration, and returns what runc has to be told in addition.
func change(file string) (more []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config object
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	what := told(config)
	if what == "" {
		return nil, nil
	}
	make, known := lies[what]
	if !known {
		return nil, fmt.Errorf("there is no lie %q", what)
	}
	more = make(config, config["linux"].(object), config["process"].(object))
	text, err = json.Marshal(config)
	if err != nil {
		return nil, err
	}
	return more, os.WriteFile(file, text, 0o644)
}

// told is the lie that the container's environment names.
func told(config object) string {
	process, _ := config["process"].(object)
	env, _ := process["env"].([]any)
	for _, e := range env {
		if name, ok := strings.CutPrefix(fmt.Sprint(e), "LIE="); ok {
			return name
		}
	}
	return ""
}

var lies = map[string]func(config, linux, process object) (more []string){
	"pid":     func(_, linux, _ object) []string { return without(linux, "pid") },
	"network": func(_, linux, _ object) []string { return without(linux, "network") },
	"user": func(config, linux, _ object) []string {
		delete(linux, "uidMappings")
		delete(linux, "gidMappings")
		for _, m := range config["mounts"].([]any) {
			delete(m.(object), "uidMappings")
			delete(m.(object), "gidMappings")
		}
		return without(linux, "user")
	},
	"masks": func(_, linux, _ object) []string {
		linux["maskedPaths"], linux["readonlyPaths"] = []any{}, []any{}
		return nil
	},
	"hostPath": func(config, _, _ object) []string { return mounting(config, "/etc", "/node-etc", "rbind", "ro") },
	"socket": func(config, _, _ object) []string {
		return mounting(config, "/run/containerd/containerd.sock", "/runtime.sock", "bind")
	},
	"propagation": func(config, _, _ object) []string {
		return mounting(config, "/var/log", "/node-log", "rbind", "rshared")
	},
	"cgroups": func(config, _, _ object) []string {
		for _, m := range config["mounts"].([]any) {
			if m := m.(object); m["destination"] == "/sys/fs/cgroup" {
				m["options"] = slices.DeleteFunc(m["options"].([]any), func(o any) bool { return o == "ro" })
			}
		}
		return nil
	},
	"capabilities": func(_, _, process object) []string {
		sets := process["capabilities"].(object)
		for _, set := range []string{"bounding", "effective", "permitted"} {
			all, _ := sets[set].([]any)
			sets[set] = append(all, "CAP_SYS_ADMIN")
		}
		return nil
	},
	"seccomp": func(_, linux, _ object) []string {
		delete(linux, "seccomp")
		return nil
	},
	"noNewPrivileges": func(_, _, process object) []string {
		process["noNewPrivileges"] = false
		return nil
	},
	// As runc did by itself before CVE-2024-21626 was mended.
	"leak": func(object, object, object) []string {
		fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil || fd != 3 && unix.Dup2(fd, 3) != nil {
			return nil
		}
		return []string{"--preserve-fds", "1"}
	},
}

// without leaves a namespace out: the container is in the runtime's.
func without(linux object, kind string) []string {
	linux["namespaces"] = slices.DeleteFunc(linux["namespaces"].([]any), func(n any) bool { return n.(object)["type"] == kind })
	return nil
}

func mounting(config object, source, destination string, options ...any) []string {
	config["mounts"] = append(config["mounts"].([]any), object{
		"source": source, "destination": destination, "type": "bind", "options": options,
	})
	return nil
}
