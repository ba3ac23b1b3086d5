// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/build"
)

func assetsCommand() *cobra.Command {
	var version string
	c := &cobra.Command{
		Use:   "assets",
		Short: "Print a folder with kube-apiserver, etcd and kubectl, for KUBEBUILDER_ASSETS",
		Long: `Print a folder with kube-apiserver, etcd and kubectl: the one that KUBEBUILDER_ASSETS
names already, or else one with the programs that "build kube" builds.

With --kubernetes, the API server is of that minor version. It is built unless it is
there: about six minutes, once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			folder, err := assetsOf(cmd.Context(), version)
			if err == nil {
				fmt.Println(folder)
			}
			return err
		},
	}
	c.Flags().StringVar(&version, "kubernetes", "", "minor version of the API server, such as 1.34")
	return c
}

// assetsOf is a folder with an API server of that minor version of Kubernetes; of
// any, if it is empty.
func assetsOf(ctx context.Context, minor string) (string, error) {
	own, err := ownVersion()
	if err != nil {
		return "", err
	}
	older, err := olderVersions()
	if err != nil {
		return "", fmt.Errorf("list the versions that can be built: %w", err)
	}
	if minor != "" && minor != own && !slices.Contains(older, minor) {
		return "", fmt.Errorf("there is no API server of Kubernetes %q to build: choose one of %s",
			minor, strings.Join(append(older, own), ", "))
	}
	given, err := givenAssets()
	if err != nil {
		return "", err
	}
	switch {
	case given != "" && (minor == "" || hasVersion(ctx, given, minor)):
		return given, nil
	case minor == "" || minor == own:
		return builtAssets(ctx)
	default:
		return olderAssets(ctx, given, minor)
	}
}

// givenAssets is the folder that KUBEBUILDER_ASSETS names; empty if it is of no use.
func givenAssets() (string, error) {
	given := os.Getenv("KUBEBUILDER_ASSETS")
	if given != "" && holdsAssets(given) {
		return filepath.Abs(given)
	}
	if given != "" {
		fmt.Fprintf(os.Stderr, "KUBEBUILDER_ASSETS=%s does not hold kube-apiserver, etcd and kubectl: not using it.\n", given)
	}
	return "", nil
}

func builtAssets(ctx context.Context) (string, error) {
	builder, err := newBuilder(os.Stderr)
	if err != nil {
		return "", err
	}
	return builder.Ensure(ctx, build.Kube())
}

// hasVersion tells whether the folder's API server is of that minor version.
func hasVersion(ctx context.Context, folder, minor string) bool {
	said, err := exec.CommandContext(ctx, filepath.Join(folder, "kube-apiserver"), "--version").Output()
	return err == nil && strings.HasPrefix(string(said), "Kubernetes v"+minor+".")
}

// olderAssets puts an older API server together with the usual etcd and kubectl,
// which serve all versions.
func olderAssets(ctx context.Context, given, minor string) (string, error) {
	usual := given
	if usual == "" {
		var err error
		if usual, err = builtAssets(ctx); err != nil {
			return "", err
		}
	}
	sources, err := fs.Sub(olderSources, olderFolder)
	if err != nil {
		return "", fmt.Errorf("find the sources of Kubernetes %s: %w", minor, err)
	}
	builder, err := newBuilderOf(sources, os.Stderr)
	if err != nil {
		return "", err
	}
	bin, err := builder.Ensure(ctx, build.APIServer(minor))
	if err != nil {
		return "", err
	}
	folder := filepath.Join(filepath.Dir(bin), "assets")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for Kubernetes %s: %w", minor, err)
	}
	for program, from := range map[string]string{"kube-apiserver": bin, "etcd": usual, "kubectl": usual} {
		if err := relink(filepath.Join(from, program), filepath.Join(folder, program)); err != nil {
			return "", err
		}
	}
	return folder, nil
}

// relink makes link lead to target; whoever looks meanwhile sees one or the other.
func relink(target, link string) error {
	if to, err := os.Readlink(link); err == nil && to == target {
		return nil
	}
	fresh := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(target, fresh); err != nil {
		return fmt.Errorf("link %s to %s: %w", link, target, err)
	}
	if err := os.Rename(fresh, link); err != nil {
		return fmt.Errorf("link %s to %s: %w", link, target, err)
	}
	return nil
}

func holdsAssets(folder string) bool {
	for _, program := range []string{"kube-apiserver", "etcd", "kubectl"} {
		info, err := os.Stat(filepath.Join(folder, program))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}
