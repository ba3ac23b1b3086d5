// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

func TestRefusesABadCall(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a folder that is not there":               {[]string{"--proc", filepath.Join(tree.Root, "missing")}, "missing"},
		"a folder that is no procfs":               {[]string{"--proc", t.TempDir()}, "mount -t proc"},
		"an output that does not exist":            {[]string{"--proc", tree.Root, "-o", "xml"}, `--output "xml": it can be table, wide, json or yaml`},
		"an interval that shows nothing":           {[]string{"--proc", tree.Root, "--watch", "--interval", "0.5s"}, "--interval 500ms: it must be 1s or more"},
		"an interval without a watch":              {[]string{"--proc", tree.Root, "--interval", "5s"}, "--watch"},
		"an argument":                              {[]string{tree.Root}, "unknown command"},
		"a policy that is not there":               {[]string{"--proc", tree.Root, "--policy", "missing.yaml"}, "missing.yaml: cannot be read"},
		"a policy that an API server would refuse": {[]string{"--proc", tree.Root, "--policy", file(t, strings.Replace(required, "action: Deny", "action: Deny, engine: Gatekeeper", 1))}, `"Gatekeeper"`},
		"a policy that is none":                    {[]string{"--proc", tree.Root, "--policy", file(t, "apiVersion: v1\nkind: Pod\n")}, "holds no IsolationPolicy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := run(t, c.args...)
			want(t, "exit code", o.code, 2)
			want(t, "standard output", o.out, "")
			wantContains(t, "standard error", o.errOut, c.want)
		})
	}
}
