// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Stdin is the argument that means standard input.
const Stdin = "-"

// Reader reads what is named by arguments such as those of kubectl's -f.
type Reader struct {
	// In is standard input, read where an argument is [Stdin].
	In io.Reader
	// Recursive also reads the folders below a folder.
	Recursive bool
}

// Input is what was read.
type Input struct {
	// Objects in the order of the input, lists expanded.
	Objects []Object
	// Notes are about what was left out and is no error: a sentence each, sanitised.
	Notes []string
	// Problems are inputs that cannot be used: a [Problem] each.
	Problems []error
}

// Read reads all arguments. It goes on after a problem, so that all of them are told at once.
func (r *Reader) Read(args []string) Input {
	var in Input
	for _, arg := range args {
		r.argument(arg, &in)
	}
	return in
}

func (r *Reader) argument(arg string, in *Input) {
	if arg == Stdin {
		if r.In == nil {
			in.fail(Place{File: "standard input"}, errors.New("is not there"))
			return
		}
		text, err := io.ReadAll(r.In)
		in.file("standard input", text, err, true)
		return
	}
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		in.fail(Place{File: arg}, fmt.Errorf("cannot be read: %w", reason(err)))
	case info.IsDir():
		r.folder(arg, in)
	default:
		text, err := os.ReadFile(arg)
		in.file(arg, text, err, true)
	}
}

// folder reads the manifests of a folder, in the order of their names.
func (r *Reader) folder(root string, in *Input) {
	place := Place{File: root}
	var files, left []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			in.fail(Place{File: path}, fmt.Errorf("cannot be read: %w", reason(err)))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir() && path != root && !r.Recursive:
			left = append(left, d.Name())
			return fs.SkipDir
		case !d.IsDir() && isManifest(path):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		in.fail(place, err)
		return
	}
	if len(files) == 0 {
		err := errors.New("the folder has no *.yaml, *.yml or *.json file")
		if len(left) > 0 {
			err = fmt.Errorf("%w; it has folders, which --recursive reads", err)
		}
		in.fail(place, err)
		return
	}
	if len(left) > 0 {
		in.note(place, fmt.Sprintf("folders below were not read: %s (--recursive reads them)", strings.Join(left, ", ")))
	}
	before, problems := len(in.Objects), len(in.Problems)
	for _, path := range files {
		text, err := os.ReadFile(path)
		in.file(path, text, err, false)
	}
	if len(in.Objects) == before && len(in.Problems) == problems {
		in.fail(place, errors.New("the folder's files hold no document"))
	}
}

func isManifest(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path))
}

// file takes the documents of one file. A file that holds none is a problem if it alone was asked
// for; among others it is worth a note.
func (in *Input) file(name string, text []byte, err error, alone bool) {
	place := Place{File: name}
	if err != nil {
		in.fail(place, fmt.Errorf("cannot be read: %w", reason(err)))
		return
	}
	before, problems := len(in.Objects), len(in.Problems)
	documents, problem := split(name, text)
	in.Problems = append(in.Problems, problem...)
	for _, d := range documents {
		in.document(d)
	}
	switch {
	case len(documents) > 0 || len(in.Objects) > before || len(in.Problems) > problems:
	case alone:
		in.fail(place, errors.New("holds no document"))
	default:
		in.note(place, "holds no document")
	}
}

func (in *Input) fail(place Place, err error) {
	in.Problems = append(in.Problems, Problems(place, err)...)
}

func (in *Input) note(place Place, text string) {
	in.Notes = append(in.Notes, (&Problem{Place: place, Err: errors.New(text)}).Error())
}

// reason is the cause without the path, which the place names already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
