// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/build"
)

func newBuilder(progress io.Writer) (*build.Builder, error) {
	return newBuilderOf(sources, progress)
}

func newBuilderOf(sources fs.FS, progress io.Writer) (*build.Builder, error) {
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
