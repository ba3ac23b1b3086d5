// SPDX-License-Identifier: Apache-2.0

//go:build !race

package vap_test

const withRaceDetector = false
