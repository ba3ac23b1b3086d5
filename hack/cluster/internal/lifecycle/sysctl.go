// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// kubeletSysctls are the settings of the whole machine that every kubelet changes,
// with the values that it gives them: pkg/kubelet/cm, setupKernelTunables.
var kubeletSysctls = map[string]string{
	"/proc/sys/vm/overcommit_memory":      "1",
	"/proc/sys/vm/panic_on_oom":           "0",
	"/proc/sys/kernel/panic":              "10",
	"/proc/sys/kernel/panic_on_oops":      "1",
	"/proc/sys/kernel/keys/root_maxkeys":  "1000000",
	"/proc/sys/kernel/keys/root_maxbytes": "25000000",
}

// readSysctls returns those settings as they are.
func readSysctls() (map[string]string, error) {
	values := map[string]string{}
	for path := range kubeletSysctls {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read a kernel setting that kubelets change: %w", err)
		}
		values[path] = strings.TrimSpace(string(data))
	}
	return values, nil
}

// restoreSysctls puts them back, except what somebody else changed meanwhile.
func restoreSysctls(before map[string]string) error {
	now, err := readSysctls()
	if err != nil {
		return err
	}
	for path, value := range before {
		if now[path] == value || now[path] != kubeletSysctls[path] {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("put back kernel setting %s: %w", path, err)
		}
	}
	return nil
}
