// SPDX-License-Identifier: Apache-2.0

package check

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"sigs.k8s.io/kustomize/api/konfig"
)

const (
	home = "https://github.com/bulkhead-dev/bulkhead"
	// fingerprint names what makes a result the same from run to run; the number is its version.
	fingerprint = "bulkheadViolation/v1"
)

// sarifLevels are the levels of the verdicts.
var sarifLevels = map[verdict]string{
	denied: sarif.LevelError, warned: sarif.LevelWarning, audited: sarif.LevelNote, exempt: sarif.LevelNote,
}

// sarif writes the results as SARIF 2.1.0. What is allowed is no result; what is exempt is one that
// is suppressed, with the exemption's reason.
func (r *report) sarif(out io.Writer) error {
	version := r.version
	if version == "" {
		version = "dev"
	}
	run := sarif.NewRunWithInformationURI("Bulkhead", home)
	run.Tool.Driver.WithVersion(version)
	run.WithColumnKind("unicodeCodePoints")
	for i := range rules {
		run.Tool.Driver.AddRule(rules[i].sarif())
	}
	seen := make(map[string]int)
	for i := range r.results {
		of := &r.results[i]
		uri := of.uri()
		for k := range of.Violations {
			run.AddResult(of.sarif(&of.Violations[k], uri, seen))
		}
		for k := range of.Exempted {
			e := &of.Exempted[k]
			s := of.sarif(&e.violation, uri, seen)
			for _, x := range e.Exemptions {
				s.AddSuppression(sarif.NewSuppression().WithKind("external").WithStatus("accepted").
					WithJustification("exemption " + x.Name + " of policy " + e.Policy + ": " + x.Reason))
			}
			run.AddResult(s)
		}
	}
	log := sarif.NewReport()
	log.AddRun(run)
	if err := log.PrettyWrite(out); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}

func (r *result) sarif(v *violation, uri string, seen map[string]int) *sarif.Result {
	object := r.Kind + "/" + r.Namespace + "/" + r.title()
	physical := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation(uri))
	if !r.place.Built {
		physical.WithRegion(sarif.NewRegion().WithStartLine(v.Line))
	}
	logical := sarif.NewLogicalLocation().WithName(v.Field).WithFullyQualifiedName(object + "/" + v.Field).WithKind("member")
	result := sarif.NewRuleResult(ruleID(v)).WithLevel(sarifLevels[v.Verdict]).
		WithMessage(sarif.NewTextMessage(object + " under policy " + v.Policy + ": " + v.text()))
	result.AddLocation(sarif.NewLocationWithPhysicalLocation(physical).WithLogicalLocations([]*sarif.LogicalLocation{logical}))
	for i := range rules {
		if rules[i].id() == ruleID(v) {
			result.WithRuleIndex(i)
		}
	}
	result.WithSuppressions(nil)
	result.WithPartialFingerprints(map[string]string{
		fingerprint: print(seen, uri, object, v.Policy, ruleID(v), v.Field),
	})
	return result
}

// print is the same in every run, whatever else changes in the file: a hash of the parts, and a
// number if it is there again.
func print(seen map[string]int, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	text := hex.EncodeToString(sum[:16])
	seen[text]++
	if n := seen[text]; n > 1 {
		text += ":" + strconv.Itoa(n)
	}
	return text
}

// uri is the file as a URI reference: relative to the current folder if it is below, as viewers
// expect, else absolute. The results of a kustomization are those of its own file.
func (r *result) uri() string {
	path := r.place.File
	if r.place.Stdin() {
		return "stdin"
	}
	if r.place.Built {
		for _, name := range konfig.RecognizedKustomizationFileNames() {
			if _, err := os.Stat(filepath.Join(path, name)); err == nil {
				path = filepath.Join(path, name)
				break
			}
		}
	}
	if filepath.IsAbs(path) {
		if here, err := os.Getwd(); err == nil {
			if relative, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(relative) {
				path = relative
			}
		}
	}
	path = filepath.ToSlash(filepath.Clean(path))
	u := url.URL{Path: path}
	if strings.HasPrefix(path, "/") {
		u.Scheme = "file"
	}
	return u.String()
}
