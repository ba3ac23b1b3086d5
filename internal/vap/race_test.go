// SPDX-License-Identifier: Apache-2.0

//go:build race

package vap_test

// withRaceDetector makes evaluating CEL ten times as slow: then fewer cases are compared.
const withRaceDetector = true
