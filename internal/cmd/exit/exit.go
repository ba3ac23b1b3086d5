// SPDX-License-Identifier: Apache-2.0

// Package exit carries a command's exit code to the end of the program.
package exit

// Error ends the program with a code of its own.
type Error struct {
	// Code is the exit code.
	Code int
	// Err is printed to standard error; nil if the command has said all there is to say.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }
