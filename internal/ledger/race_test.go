// SPDX-License-Identifier: Apache-2.0

//go:build race

package ledger_test

const (
	// steps of the model; make test runs all of them without the race detector.
	steps = 500
	// raced: the race detector allocates, too.
	raced = true
)
