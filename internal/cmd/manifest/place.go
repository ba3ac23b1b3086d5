// SPDX-License-Identifier: Apache-2.0

// Package manifest reads Kubernetes manifests from files, folders, kustomizations and standard
// input, as kubectl does and with its libraries, with two differences. It says of everything in
// which file, document and line it stands. And it is strict: what kubectl or the API server would
// drop silently is an error here, because a judge who overlooks a field gives a wrong verdict.
//
// What the libraries cannot do is done here: the builder of k8s.io/cli-runtime and the readers of
// k8s.io/apimachinery/pkg/util/yaml take the last of two equal keys, and tell neither document nor
// line.
package manifest

import (
	"errors"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// The longest piece of foreign text that is shown.
const (
	nameLimit  = 256
	errorLimit = 2048
)

// Place says where something was read.
type Place struct {
	// File is its path as it was given, or "standard input".
	File string
	// Built is set if File is a folder, and the text what kustomize made of it: documents and
	// lines are those of that text.
	Built bool
	// Document counts from 1; 0 speaks of the whole file.
	Document int
	// Line is where the document begins, from 1; 0 speaks of the whole file.
	Line int
	// Items are the positions in lists, from 1, the outermost first.
	Items []int
}

// Stdin tells whether it is in standard input.
func (p Place) Stdin() bool { return p.File == stdinName }

// String names the place for people, sanitised.
func (p Place) String() string {
	s := isolation.Sanitize(p.File, nameLimit)
	if p.Built {
		s += " (as kustomize builds it)"
	}
	if p.Document > 0 {
		s += ", document " + strconv.Itoa(p.Document) + " (line " + strconv.Itoa(p.Line) + ")"
	}
	for _, item := range p.Items {
		s += ", item " + strconv.Itoa(item)
	}
	return s
}

// item is the place of an item of a list that stands here; items count from 1.
func (p Place) item(n int) Place {
	p.Items = append(append([]int(nil), p.Items...), n)
	return p
}

// Problem is an input that cannot be used.
type Problem struct {
	Place Place
	Err   error
}

// Error is one line: the place and the reason, sanitised.
func (p *Problem) Error() string {
	return p.Place.String() + ": " + isolation.Sanitize(p.Err.Error(), errorLimit)
}

// Unwrap is the reason.
func (p *Problem) Unwrap() error { return p.Err }

// Problems makes a [Problem] of each line of an error: several reasons that were joined are
// several problems of one place. nil gives none.
func Problems(place Place, err error) []error {
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(lines) == 1 {
		return []error{&Problem{place, err}}
	}
	all := make([]error, len(lines))
	for i, line := range lines {
		all[i] = &Problem{place, errors.New(line)}
	}
	return all
}
