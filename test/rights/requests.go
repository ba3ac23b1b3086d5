// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	rbacv1 "k8s.io/api/rbac/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// ReadLog reads an audit log, one event on a line. A last line that has no end is still being written, and left out.
func ReadLog(from io.Reader) ([]auditv1.Event, error) {
	var out []auditv1.Event
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read line %d of the audit log: %w", len(out)+1, err)
		}
		out = append(out, e)
	}
}

// call is what an API server asks its authorizer about.
type call struct {
	namespace string
	// rule has one verb, one resource, and at most one name.
	rule rbacv1.PolicyRule
}

// calls are what a request needs, as far as its event tells.
func calls(e *auditv1.Event) []call {
	if e.ObjectRef == nil {
		return nil
	}
	out := []call{callOf(e, e.Verb)}
	switch e.Verb {
	case "patch":
		// To apply is to create what is not there. The API server asks for that right only then, and does not log it.
		if code := codeOf(e); code == http.StatusCreated || code == http.StatusForbidden {
			out = append(out, callOf(e, "create"))
		}
	case "watch":
		// Who watches from the beginning (KEP-3157) lists where the API server cannot do that.
		if uri, err := url.ParseRequestURI(e.RequestURI); err == nil && uri.Query().Get("sendInitialEvents") == "true" {
			out = append(out, callOf(e, "list"))
		}
	}
	return out
}

func callOf(e *auditv1.Event, verb string) call {
	o := e.ObjectRef
	c := call{namespace: o.Namespace, rule: rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: []string{o.APIGroup}, Resources: []string{o.Resource}}}
	if o.Subresource != "" {
		c.rule.Resources[0] += "/" + o.Subresource
	}
	// What is created has no name in the path; the log has it from the body.
	if o.Name != "" && (verb != "create" || o.Subresource != "") {
		c.rule.ResourceNames = []string{o.Name}
	}
	return c
}

func codeOf(e *auditv1.Event) int {
	if e.ResponseStatus == nil {
		return 0
	}
	return int(e.ResponseStatus.Code)
}

// who is the account for which a request was judged.
func who(e *auditv1.Event) string {
	if e.ImpersonatedUser != nil {
		return e.ImpersonatedUser.Username
	}
	return e.User.Username
}
