// SPDX-License-Identifier: Apache-2.0

//go:build race

package admission

// withRaceDetector tells that memory is not what it is otherwise.
const withRaceDetector = true
