// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package procns

import "errors"

// Other systems have no /proc like Linux's. The package compiles there, so that the command line
// can be built for them, and Open says that there is nothing to read.

var errNotLinux = errors.New("reading /proc needs Linux")

func openRoot(string) (int, error)                                { return -1, errNotLinux }
func openDir(int, string) (int, error)                            { return -1, errNotLinux }
func openList(int, string) (int, error)                           { return -1, errNotLinux }
func openPlace(int, string) (int, error)                          { return -1, errNotLinux }
func openPlaceDir(int, string) (int, error)                       { return -1, errNotLinux }
func openFile(int, string) (int, error)                           { return -1, errNotLinux }
func read(int, []byte) (int, error)                               { return 0, errNotLinux }
func readlink(int, string, []byte) (int, error)                   { return 0, errNotLinux }
func closeFD(int) error                                           { return errNotLinux }
func exists(int, string) bool                                     { return true }
func notFound(error) bool                                         { return false }
func isProcfs(int) bool                                           { return false }
func nsfsDevice(int) (uint64, error)                              { return 0, errNotLinux }
func readDirents(int, []byte, byte, func(int, uint64) bool) error { return errNotLinux }
func invalid(error) bool                                          { return false }
func notDirectory(error) bool                                     { return false }
func nameTooLong(error) bool                                      { return false }

// Those of most architectures.
const (
	flagDirectory = 0o200000
	flagPath      = 0o10000000
)
