// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/image"
)

// programs that a cluster calls, and the Debian packages that have them.
var programs = map[string]string{
	"mount":   "mount",
	"nft":     "nftables",
	"nsenter": "util-linux",
}

// CheckRoot tells those who are not root what to do.
func CheckRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster makes namespaces, mounts and cgroups: run this as root (`cluster build` needs none)")
	}
	return nil
}

// CheckMachine tells what this machine lacks for a cluster, before anything is made.
func CheckMachine() error {
	if err := CheckRoot(); err != nil {
		return err
	}
	var missing []string
	for program, debian := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("%s (Debian package %s)", program, debian))
		}
	}
	if _, err := image.FindBusybox(); err != nil {
		missing = append(missing, err.Error())
	}
	if len(missing) > 0 {
		return fmt.Errorf("these are missing: %s; hack/install-debian.sh installs them on Debian and Ubuntu", strings.Join(missing, ", "))
	}
	return nil
}
