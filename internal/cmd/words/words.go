// SPDX-License-Identifier: Apache-2.0

// Package words puts things into words, the same in all commands.
package words

import "strings"

// Or is "one, two or three", of two names or more.
func Or(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
