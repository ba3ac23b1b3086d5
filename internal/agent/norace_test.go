// SPDX-License-Identifier: Apache-2.0

//go:build !race

package agent

// raced tells whether the race detector is built in: what is large takes minutes with it.
const raced = false
