// SPDX-License-Identifier: Apache-2.0

//go:build !race

package ledger_test

const (
	// steps of the model.
	steps = 10_000
	raced = false
)
