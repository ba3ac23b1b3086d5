// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	"k8s.io/cli-runtime/pkg/resource"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Stdin is the argument that means standard input.
const Stdin = "-"

// stdinName is what standard input is called where a file is named.
const stdinName = "standard input"

// Reader reads what is named by arguments such as those of kubectl's -f.
type Reader struct {
	// In is standard input, read where an argument is [Stdin].
	In io.Reader
	// Recursive also reads the folders below a folder.
	Recursive bool
}

// file is the text of one file, and what went wrong with reading it.
type file struct {
	place Place
	text  []byte
	// alone is set if the file itself was asked for, not the folder that it is in.
	alone    bool
	problems []error
	notes    []string
}

func (f *file) fail(err error) { f.problems = append(f.problems, Problems(f.place, err)...) }

func (f *file) note(text string) {
	f.notes = append(f.notes, (&Problem{Place: f.place, Err: errors.New(text)}).Error())
}

// files are the files that an argument names, as kubectl expands it: a file, a folder, a pattern
// such as 'web/*.yaml', or standard input. It goes on after a problem, so that all are told at once.
func (r *Reader) files(arg string) []file {
	switch {
	case arg == Stdin:
		f := file{place: Place{File: stdinName}, alone: true}
		if r.In == nil {
			f.fail(errors.New("is not there"))
		} else {
			f.read(r.In)
		}
		return []file{f}
	case strings.HasPrefix(arg, "http://"), strings.HasPrefix(arg, "https://"):
		return failed(arg, fmt.Errorf("nothing is fetched here: download it first, as in: curl -fsSLO %s", arg))
	}
	info, err := os.Stat(arg)
	if errors.Is(err, fs.ErrNotExist) {
		if matches, wrong := filepath.Glob(arg); wrong == nil && len(matches) > 0 {
			var all []file
			for _, match := range matches {
				all = append(all, r.files(match)...)
			}
			return all
		}
	}
	switch {
	case err != nil:
		return failed(arg, fmt.Errorf("cannot be read: %w", reason(err)))
	case info.IsDir():
		return r.folder(arg)
	default:
		return []file{open(arg, true)}
	}
}

func failed(name string, err error) []file {
	f := file{place: Place{File: name}}
	f.fail(err)
	return []file{f}
}

// folder reads the manifests of a folder: those that kubectl would take, in its order.
func (r *Reader) folder(root string) []file {
	visitors, err := resource.ExpandPathsToFileVisitors(nil, root, r.Recursive, resource.FileExtensions, nil)
	if err != nil {
		return failed(root, fmt.Errorf("cannot be read: %w", err))
	}
	head := file{place: Place{File: root}}
	var below []string
	if !r.Recursive {
		below = folders(root)
	}
	if len(visitors) == 0 {
		err := errors.New("the folder has no *.yaml, *.yml or *.json file")
		if len(below) > 0 {
			err = fmt.Errorf("%w; it has folders, which --recursive reads", err)
		}
		head.fail(err)
		return []file{head}
	}
	if len(below) > 0 {
		head.note(fmt.Sprintf("folders below were not read: %s (--recursive reads them)", strings.Join(below, ", ")))
	}
	files := []file{head}
	for _, v := range visitors {
		if v, ok := v.(*resource.FileVisitor); ok {
			files = append(files, open(v.Path, false))
		}
	}
	return files
}

// folders are the names of the folders in a folder.
func folders(root string) []string {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil // that it cannot be read is told by who reads its files
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func open(path string, alone bool) file {
	f := file{place: Place{File: path}, alone: alone}
	opened, err := os.Open(path)
	if err != nil {
		f.fail(fmt.Errorf("cannot be read: %w", reason(err)))
		return f
	}
	if info, err := opened.Stat(); err == nil && info.Mode().IsRegular() {
		f.text = make([]byte, 0, info.Size()+bytes.MinRead)
	}
	f.read(opened)
	if err := opened.Close(); err != nil {
		f.fail(err)
	}
	return f
}

// read takes the text, in UTF-16 if it begins with the mark of that, as kubectl does.
func (f *file) read(in io.Reader) {
	text := bytes.NewBuffer(f.text)
	if _, err := text.ReadFrom(transform.NewReader(in, unicode.BOMOverride(transform.Nop))); err != nil {
		f.fail(fmt.Errorf("cannot be read: %w", reason(err)))
	}
	f.text = text.Bytes()
}

// kustomized is what kubectl kustomize makes of a folder, by kubectl's own library and with its
// options (KustomizeVisitor of k8s.io/cli-runtime, which does not give the text away).
func kustomized(root string) file {
	f := file{place: Place{File: root, Built: true}, alone: true}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), root)
	if err == nil {
		f.text, err = built.AsYaml()
	}
	if err != nil {
		f.fail(fmt.Errorf("cannot be built: %s", strings.Join(strings.Fields(err.Error()), " ")))
	}
	return f
}

// reason is the cause without the path, which the place names already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
