// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// A question is one fixture as the suite puts it to the API server.
type question struct {
	kind  string // Pod or Deployment
	level api.LevelVersion
	meta  *metav1.ObjectMeta
	spec  *corev1.PodSpec
}

func (q *question) String() string {
	spec, err := json.Marshal(q.spec)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s at %s:%s, spec %s", q.kind, q.level.Level, q.level.Version.String(), spec)
}

// The suite names its namespaces after what they enforce.
var questions = regexp.MustCompile(`^/(?:api/v1|apis/apps/v1)/namespaces/podsecurity-(baseline|restricted)-1-(\d+)/(pods|deployments)$`)

// questionOf is nil if the request asks for something else.
func questionOf(r *http.Request) (*question, error) {
	found := questions.FindStringSubmatch(r.URL.Path)
	if r.Method != http.MethodPost || found == nil {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	minor, err := strconv.Atoi(found[2])
	if err != nil {
		return nil, err
	}
	q := &question{
		kind:  map[string]string{"pods": "Pod", "deployments": "Deployment"}[found[3]],
		level: api.LevelVersion{Level: api.Level(found[1]), Version: api.MajorMinorVersion(1, minor)},
	}
	return q, q.read(body)
}

// read takes the pod or the pod's template from the object.
func (q *question) read(object []byte) error {
	if q.kind == "Pod" {
		var pod corev1.Pod
		q.meta, q.spec = &pod.ObjectMeta, &pod.Spec
		return json.Unmarshal(object, &pod)
	}
	var deployment appsv1.Deployment
	q.meta, q.spec = &deployment.Spec.Template.ObjectMeta, &deployment.Spec.Template.Spec
	return json.Unmarshal(object, &deployment)
}

// An answer is what the API server said.
type answer struct {
	code    int
	message string // if it refused
	// warnings that are Bulkhead's.
	warnings []string
}

// answerOf reads the answer. If the object was admitted, the question becomes what the API server
// made of it: that is what admission has seen, with all defaults.
func answerOf(r *http.Response, q *question) (*answer, error) {
	a := &answer{code: r.StatusCode}
	for _, w := range r.Header.Values("Warning") {
		if strings.Contains(w, `"bulkhead: `) {
			a.warnings = append(a.warnings, w)
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.StatusCode < http.StatusBadRequest {
		return a, q.read(body)
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return nil, fmt.Errorf("decode the refusal %q: %w", body, err)
	}
	a.message = status.Message
	return a, nil
}

// byBulkhead tells whether it was Bulkhead that refused, in the engine that is tried.
func (a *answer) byBulkhead(engine v1alpha1.AdmissionEngine) bool {
	if engine == v1alpha1.EngineWebhook {
		return a.code == http.StatusForbidden && strings.Contains(a.message, `.pods.bulkhead.dev" denied the request`)
	}
	return strings.Contains(a.message, "ValidatingAdmissionPolicy 'bulkhead-") && strings.Contains(a.message, "denied request")
}

// invalid tells whether the API server's own validation refused, which comes before admission.
func (a *answer) invalid() bool {
	return a.code == http.StatusUnprocessableEntity && !strings.Contains(a.message, "ValidatingAdmissionPolicy")
}

// tap sits in the suite's connection to the API server. Every fixture reaches the server as it is,
// and the server's answer is compared with Pod Security's.
//
// The suite also compares, by the words of the answer. So the tap adds Pod Security's words to
// refusals that are right. Where Pod Security would have decided by a control that Bulkhead does not
// cover, or a listed difference explains the answer, it answers in Pod Security's place: the suite
// goes on, and the report tells. A wrong answer reaches the suite as it is.
type tap struct {
	next   http.RoundTripper
	oracle *oracle
	engine v1alpha1.AdmissionEngine
	report *report
}

// RoundTrip implements [http.RoundTripper].
func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	q, err := questionOf(r)
	if err != nil {
		return nil, fmt.Errorf("read what the suite asks: %w", err)
	}
	resp, err := t.next.RoundTrip(r)
	if q == nil || err != nil {
		return resp, err
	}
	a, err := answerOf(resp, q)
	if err != nil {
		return nil, err
	}
	t.report.asked(q)
	words := t.oracle.words(q.level, q.meta, q.spec)
	if !t.compare(q, a, words) {
		return resp, nil
	}
	if q.kind == "Deployment" {
		return forTemplate(resp, words), nil
	}
	return forPod(resp, a, words)
}

// compare notes whether the answer agrees with Pod Security's. It returns false if the suite is to
// see the answer as it is.
func (t *tap) compare(q *question, a *answer, words string) bool {
	if a.invalid() {
		t.report.leaveOut(q, "the API server's own validation refuses it before admission")
		return false
	}
	refusing := t.oracle.refusing(q.level, q.meta, q.spec)
	admitted := a.code < http.StatusBadRequest
	refused := a.byBulkhead(t.engine)
	text := a.message
	if q.kind == "Deployment" {
		if !admitted {
			t.report.fail(q, "a template is refused: "+a.message)
			return false
		}
		if t.engine != v1alpha1.EngineWebhook {
			t.report.leaveOut(q, "templates are warned about by the manager, whatever the engine: the other run shows that")
			return true
		}
		refused = len(a.warnings) > 0
		text = strings.Join(a.warnings, "\n")
	} else if !admitted && !refused {
		t.report.fail(q, "neither admitted nor refused by Bulkhead: "+a.message)
		return false
	}
	switch d := differenceOf(q, refused); {
	case refused != (len(refusing) > 0) && d == nil:
		t.report.fail(q, fmt.Sprintf("Pod Security's covered controls refuse it by %v, Bulkhead says %q", refusing, text))
		return false
	case refused != (len(refusing) > 0):
		t.report.differ(d)
	case !refused && words != "":
		t.report.leaveOut(q, "Pod Security refuses it by a control that Bulkhead does not cover; Bulkhead rightly admits it")
	default:
		for _, id := range refusing {
			if !covered[id].MatchString(text) {
				t.report.fail(q, fmt.Sprintf("it is refused, but not for %s: %q", id, text))
				return false
			}
		}
		t.report.pass(q, refusing)
	}
	return true
}

// forPod is the answer with Pod Security's words. Its verdict is that of the words: whoever calls
// this has found it to agree, or knows why it does not.
func forPod(resp *http.Response, a *answer, words string) (*http.Response, error) {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
	}
	refused := a.code >= http.StatusBadRequest
	switch {
	case words == "" && !refused:
		return resp, nil
	case words == "":
		return replaced(resp, http.StatusCreated, &corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}})
	case refused:
		status.Message = a.message + " [Pod Security: " + words + "]"
	default:
		status.Message = "[Pod Security: " + words + "]"
	}
	return replaced(resp, http.StatusForbidden, &status)
}

func replaced(resp *http.Response, code int, object any) (*http.Response, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	resp.StatusCode, resp.Status = code, http.StatusText(code)
	resp.Header.Set("Content-Type", "application/json")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// forTemplate is the answer with Pod Security's words as a warning beside Bulkhead's, or without
// warnings if it has none.
func forTemplate(resp *http.Response, words string) *http.Response {
	if words == "" {
		resp.Header.Del("Warning")
	} else {
		resp.Header.Add("Warning", "299 - "+strconv.Quote("[Pod Security: "+words+"]"))
	}
	return resp
}
