// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Input is what was read.
type Input[T any] struct {
	// Found in the order of the input, lists expanded.
	Found []Found[T]
	// Notes are about what was left out and is no error: a sentence each, sanitised.
	Notes []string
	// Problems are inputs that cannot be used: a [Problem] each.
	Problems []error
}

// Found is an object and what was made of it.
type Found[T any] struct {
	Place Place
	GVK   schema.GroupVersionKind
	Value T
}

// Kind names the object's kind for people, sanitised.
func (f *Found[T]) Kind() string { return (&Object{GVK: f.GVK}).Kind() }

// Arguments are what to read.
type Arguments struct {
	// Files are arguments such as those of kubectl's -f: files, folders, patterns and [Stdin].
	Files []string
	// Kustomizations are folders such as that of kubectl's -k.
	Kustomizations []string
}

// Read reads everything that is named, and goes on after a problem, so that all of them are told at
// once. What is wrong with an object is a problem, and so is the error of take, which makes of an
// object what the caller needs. It is called from several goroutines, and must not keep the object:
// of a large input only what take made of it stays in memory. The place that an object has then
// may count the documents of its file from elsewhere; that of what was found is right.
func Read[T any](r *Reader, args Arguments, take func(*Object) (T, error)) Input[T] {
	var in Input[T]
	for _, arg := range args.Files {
		in.take(r.files(arg), take)
	}
	for _, arg := range args.Kustomizations {
		in.take([]file{kustomized(arg)}, take)
	}
	return in
}

// take takes the files of one argument.
func (in *Input[T]) take(files []file, take func(*Object) (T, error)) {
	before, problems := len(in.Found), len(in.Problems)
	var parts []*part[T]
	for i := range files {
		for _, c := range chunks(files[i].text) {
			parts = append(parts, &part[T]{file: i, chunk: c, place: files[i].place, make: take})
		}
	}
	parallel(parts, (*part[T]).run)
	for i := range files {
		f := &files[i]
		in.Notes = append(in.Notes, f.notes...)
		in.Problems = append(in.Problems, f.problems...)
		own := len(parts)
		for n, p := range parts {
			if p.file != i {
				own = n
				break
			}
		}
		in.file(f, parts[:own])
		parts = parts[own:]
	}
	if folder := len(files) > 1; folder && len(in.Found) == before && len(in.Problems) == problems {
		in.Problems = append(in.Problems, Problems(files[0].place, errors.New("the folder's files hold no document"))...)
	}
}

// file takes the parts of one file. A file that holds no document is a problem if it alone was asked
// for; among others it is worth a note.
func (in *Input[T]) file(f *file, parts []*part[T]) {
	documents, problems := 0, len(in.Problems)
	first := 1 // the number of the next part's first document
	for _, p := range parts {
		documents += p.documents
		for _, found := range p.found {
			found.Place.Document += first - 1
			in.Found = append(in.Found, found)
		}
		for _, wrong := range p.wrong {
			wrong.place.Document += first - 1
			in.Problems = append(in.Problems, Problems(wrong.place, wrong.err)...)
		}
		// A part without a document counts as one that is empty.
		first += max(1, p.documents)
	}
	switch {
	case documents > 0 || len(in.Problems) > problems || len(f.problems) > 0 || f.place.File == "":
	case f.alone:
		in.Problems = append(in.Problems, Problems(f.place, errors.New("holds no document"))...)
	case f.text != nil:
		f.note("holds no document")
		in.Notes = append(in.Notes, f.notes[len(f.notes)-1])
	}
}

// part is a chunk of a file, and what was found in it.
type part[T any] struct {
	file  int
	chunk chunk
	place Place
	make  func(*Object) (T, error)

	documents int
	found     []Found[T]
	wrong     []wrong
}

type wrong struct {
	place Place
	err   error
}

// run reads the chunk. Documents count from 1 in it.
func (p *part[T]) run() {
	place := p.place
	place.Document, place.Line = 1, p.chunk.line
	documents, err := p.chunk.documents()
	if err != nil {
		p.problem(place, err)
		return
	}
	p.documents = len(documents)
	for i, d := range documents {
		place.Document, place.Line = i+1, d.line
		d.objects(place, d.json, schema.GroupVersionKind{}, p)
		d.locate()
	}
	p.chunk.text = nil
}

func (p *part[T]) object(o Object) {
	value, err := p.make(&o)
	if err != nil {
		p.problem(o.Place, err)
		return
	}
	p.found = append(p.found, Found[T]{o.Place, o.GVK, value})
}

func (p *part[T]) fork() finds { return &part[T]{make: p.make} }

func (p *part[T]) join(other finds) {
	if o, ok := other.(*part[T]); ok {
		p.found = append(p.found, o.found...)
		p.wrong = append(p.wrong, o.wrong...)
	}
}

func (p *part[T]) problem(place Place, err error) { p.wrong = append(p.wrong, wrong{place, err}) }

// parallel calls do for all, on as many goroutines as there are processors.
func parallel[T any](all []T, do func(T)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(len(all), runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				do(all[i])
			}
		})
	}
	workers.Wait()
}
