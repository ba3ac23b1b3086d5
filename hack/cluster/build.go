// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/build"
)

func newBuilder(progress io.Writer) (*build.Builder, error) {
	cache, err := build.CacheFolder()
	if err != nil {
		return nil, err
	}
	return &build.Builder{Sources: sources, Cache: cache, Progress: progress}, nil
}

func buildCommand() *cobra.Command {
	parts := map[string][]build.Part{
		"kube": {build.Kube()},
		"node": {build.Node()},
		"all":  {build.Kube(), build.Node()},
	}
	return &cobra.Command{
		Use:   "build [kube|node|all]",
		Short: "Build the cluster's programs, unless that has been done",
		Long: `Build the cluster's programs into ${BULKHEAD_CACHE:-~/.cache/bulkhead}, unless they
are there. "up" does that by itself. It takes about ten minutes, once, and no root.`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"kube", "node", "all"},
		RunE: func(cmd *cobra.Command, args []string) error {
			builder, err := newBuilder(os.Stderr)
			if err != nil {
				return err
			}
			for _, part := range parts[append(args, "all")[0]] {
				bin, err := builder.Ensure(cmd.Context(), part)
				if err != nil {
					return err
				}
				fmt.Printf("%s: %s\n", part.Title, bin)
			}
			return nil
		},
	}
}

func assetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "assets",
		Short: "Print a folder with kube-apiserver, etcd and kubectl, for KUBEBUILDER_ASSETS",
		Long: `Print a folder with kube-apiserver, etcd and kubectl: the one that KUBEBUILDER_ASSETS
names already, or else one with the programs that "build kube" builds.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			folder, err := assets(cmd.Context())
			if err == nil {
				fmt.Println(folder)
			}
			return err
		},
	}
}

func assets(ctx context.Context) (string, error) {
	given := os.Getenv("KUBEBUILDER_ASSETS")
	if given != "" && holdsAssets(given) {
		return filepath.Abs(given)
	}
	if given != "" {
		fmt.Fprintf(os.Stderr, "KUBEBUILDER_ASSETS=%s does not hold kube-apiserver, etcd and kubectl: not using it.\n", given)
	}
	builder, err := newBuilder(os.Stderr)
	if err != nil {
		return "", err
	}
	return builder.Ensure(ctx, build.Kube())
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
