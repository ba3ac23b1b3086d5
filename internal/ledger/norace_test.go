// SPDX-License-Identifier: Apache-2.0

//go:build !race

package ledger_test

// steps of the model.
const steps = 10_000
