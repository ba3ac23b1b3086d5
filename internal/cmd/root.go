// SPDX-License-Identifier: Apache-2.0

// Package cmd is the command line: the one binary that is manager, agent and tool.
package cmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
)

// Main runs the command line and returns the exit code: 0 for success, what the command says
// otherwise, 2 for a call that is wrong.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	root := Root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.Execute()
	if err == nil {
		return 0
	}
	code := 2
	var exited *exit.Error
	if errors.As(err, &exited) {
		code, err = exited.Code, exited.Err
	}
	if err != nil {
		fmt.Fprintf(errOut, "bulkhead: %v\n", err)
	}
	return code
}

// Root is the command line without its streams.
func Root() *cobra.Command {
	root := &cobra.Command{
		Use:   "bulkhead",
		Short: "Keeps every container watertight",
		// With it there is the flag --version; reports name it.
		Version: Version,
		Long: `Bulkhead proves that containers are as isolated as they should be.

A cluster's owner declares, with IsolationPolicies, how isolated pods must be. The manager refuses
pods whose spec asks for less, the agent reads from each node's kernel what running containers
really have, and the manager tells where the two differ. Three commands need no cluster: check judges
manifests, compile says policies in the API server's own language, scan reads this machine. Two read
one: explain tells of one pod what is required, claimed and observed, report tells of all of them.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: toolGroup, Title: "For people and pipelines:"},
		&cobra.Group{ID: clusterGroup, Title: "Parts that run in a cluster:"},
	)
	for _, c := range tools() {
		c.GroupID = toolGroup
		root.AddCommand(c)
	}
	for _, c := range parts() {
		c.GroupID = clusterGroup
		root.AddCommand(c)
	}
	return root
}

const (
	toolGroup    = "tools"
	clusterGroup = "cluster"
)
