// SPDX-License-Identifier: Apache-2.0

//go:build race

package ledger_test

// steps of the model; make test runs all of them without the race detector.
const steps = 500
