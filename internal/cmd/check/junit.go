// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/xml"
	"io"
	"strconv"
	"strings"
)

// The XML that GitLab, Jenkins and others read (https://github.com/testmoapp/junitxml tells what
// they have in common): a suite is a file, a case is what one policy says of one object.
type (
	junitReport struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Class     string        `xml:"classname,attr"`
		File      string        `xml:"file,attr"`
		Line      int           `xml:"line,attr"`
		Failure   *junitMessage `xml:"failure"`
		Skipped   *junitMessage `xml:"skipped"`
		SystemOut string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

func (r *report) junit(out io.Writer) error {
	suites := junitReport{Name: "bulkhead check"}
	index := make(map[string]int)
	for i := range r.results {
		file := r.results[i].File
		at, known := index[file]
		if !known {
			at = len(suites.Suites)
			index[file] = at
			suites.Suites = append(suites.Suites, junitSuite{Name: file})
		}
		for _, c := range r.cases(&r.results[i]) {
			suites.Suites[at].add(c)
		}
	}
	for i := range suites.Suites {
		s := &suites.Suites[i]
		suites.Tests += s.Tests
		suites.Failures += s.Failures
		suites.Skipped += s.Skipped
	}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(out)
	e.Indent("", "  ")
	if err := e.Encode(suites); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

// cases are what each policy says of an object. What no policy speaks of is no success.
func (r *report) cases(of *result) []junitCase {
	empty := junitCase{Class: of.Kind + "." + of.Namespace + "." + of.title(), File: of.File, Line: of.Line}
	object := of.Kind + " " + of.Namespace + "/" + of.title()
	if len(of.by) == 0 {
		empty.Name, empty.Skipped = object, &junitMessage{Message: of.why()}
		return []junitCase{empty}
	}
	cases := make([]junitCase, len(of.by))
	for i := range of.by {
		j, c := &of.by[i], &cases[i]
		*c = empty
		c.Name = object + " under policy " + shown(j.policy.Name)
		text := j.text(of)
		switch {
		case len(j.violations) > 0:
			c.Line = j.violations[0].Line
			if j.verdict.reaches(r.limit) {
				c.Failure = &junitMessage{Message: string(j.verdict) + ": " + j.violations[0].text(), Type: string(j.verdict), Text: text}
			} else {
				c.SystemOut = text
			}
		case len(j.exempted) > 0:
			c.Skipped = &junitMessage{Message: text}
		}
	}
	return cases
}

// text tells all violations, a line each, or else the exemptions that were needed.
func (j *judgement) text(of *result) string {
	var lines []string
	for i := range j.violations {
		v := &j.violations[i]
		lines = append(lines, string(v.Verdict)+" at "+of.where(v.location)+": "+v.about()+": "+v.text())
	}
	if len(lines) == 0 {
		for _, e := range j.exemptions() {
			lines = append(lines, "exempt by "+strconv.Quote(e.Name)+": "+e.Reason)
		}
		return strings.Join(lines, "; ")
	}
	return strings.Join(lines, "\n")
}
