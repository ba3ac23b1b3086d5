// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// connect tries with a kubeconfig of this text, and these flags.
func connect(t *testing.T, kubeconfig string, set func(*genericclioptions.ConfigFlags)) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	flags := genericclioptions.NewConfigFlags(true)
	set(flags)
	_, _, err := Connect(flags)
	return err
}

func TestWhoIsLedNowhereIsToldOnce(t *testing.T) {
	const nobody = "https://127.0.0.1:1"
	for name, c := range map[string]struct {
		kubeconfig string
		set        func(*genericclioptions.ConfigFlags)
		want       string
	}{
		"no cluster at all": {"", func(*genericclioptions.ConfigFlags) {}, "no kubeconfig names one"},
		"a server that does not answer": {
			"", func(f *genericclioptions.ConfigFlags) { *f.APIServer = nobody }, "reach the cluster at " + nobody + ": ",
		},
		"a cluster that does not answer": {
			"{clusters: [{name: c, cluster: {server: '" + nobody + "'}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}",
			func(*genericclioptions.ConfigFlags) {}, "reach the cluster at " + nobody + ": ",
		},
		"a context that there is not": {
			"{clusters: [{name: c, cluster: {server: '" + nobody + "'}}]}", func(f *genericclioptions.ConfigFlags) { *f.Context = "x" }, `"x"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := connect(t, c.kubeconfig, c.set); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
