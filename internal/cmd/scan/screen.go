// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// usualWidth is that of a terminal which does not say, and of what is no terminal.
const usualWidth = 80

// screen is where tables are shown.
type screen struct {
	width int
	// colour is set for a terminal that takes escape sequences from one who wants them. Without it
	// none are written.
	colour bool
}

// screenOf finds out what the output is. NO_COLOR is what https://no-color.org says.
func screenOf(out io.Writer) screen {
	s := screen{width: usualWidth}
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		s.width = width
	}
	return s
}

// The escape sequences (ECMA-48) that are written.
const (
	plain   = ""
	bold    = "\x1b[1m"
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	yellow  = "\x1b[33m"
	magenta = "\x1b[35m"
	reset   = "\x1b[0m"
	// clear goes to the upper left corner and clears what is there.
	clear = "\x1b[H\x1b[2J"
)

// paint colours a text.
func (s screen) paint(text, colour string) string {
	if !s.colour || colour == plain || text == "" {
		return text
	}
	return colour + text + reset
}

// colourOf is the colour of a level: what is not known is neither good nor bad.
func colourOf(level string) string {
	switch v1alpha1.Level(level) {
	case v1alpha1.LevelHost:
		return yellow
	case v1alpha1.LevelForeign:
		return red
	case v1alpha1.LevelPod, v1alpha1.LevelContainer:
		return green
	case v1alpha1.LevelUnknown:
		return magenta
	}
	return plain
}

// colourOfKind is the colour of a finding.
func colourOfKind(kind string) string {
	if kind == string(v1alpha1.Unverified) {
		return magenta
	}
	return red
}
