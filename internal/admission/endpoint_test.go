// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestAReviewThatIsNoneIsRefusedWithTheReason(t *testing.T) {
	sound := bodyOf(t, creation(t, podOf()))
	for name, c := range map[string]struct {
		body   []byte
		code   int
		reason string
	}{
		"another kind":              {bytes.Replace(sound, []byte(`"AdmissionReview"`), []byte(`"TokenReview"`), 1), 400, `asked to answer kind "TokenReview"`},
		"no kind":                   {[]byte(`{"request":{"uid":"1"}}`), 400, `asked to answer kind ""`},
		"an older version":          {bytes.Replace(sound, []byte("admission.k8s.io/v1"), []byte("admission.k8s.io/v1beta1"), 1), 400, "only AdmissionReview of admission.k8s.io/v1 is answered"},
		"a later version":           {bytes.Replace(sound, []byte("admission.k8s.io/v1"), []byte("admission.k8s.io/v2"), 1), 400, "put right admissionReviewVersions"},
		"no request":                {[]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`), 400, "holds no request"},
		"no uid":                    {bytes.Replace(sound, []byte(`"uid":"1"`), []byte(`"uid":""`), 1), 400, "holds no request with a uid"},
		"a pod":                     {raw(t, podOf()).Raw, 400, `asked to answer kind "Pod" of "v1"`},
		"truncated":                 {sound[:len(sound)/2], 400, "unexpected EOF within"},
		"with something after":      {append(bytes.Clone(sound), sound...), 400, "after top-level value"},
		"broken where nobody looks": {bytes.Replace(sound, []byte(`"metadata":{`), []byte(`"metadata":{"managedFields":[x],`), 1), 400, "invalid character 'x'"},
		"wrong types":               {bytes.Replace(sound, []byte(`"namespace":"shop"`), []byte(`"namespace":7`), 1), 400, "JSON number into Go string within"},
		"YAML":                      {[]byte("kind: AdmissionReview\n"), 400, "invalid character"},
		"bytes":                     {[]byte("\x00\xff\x1b[2J"), 400, "invalid character"},
		"empty":                     {nil, 400, "has no body"},
		"too large":                 {append(bytes.Clone(sound), bytes.Repeat([]byte(" "), maxBody)...), 413, "larger than 7340032 bytes"},
	} {
		for _, h := range []handler{handlerOf(), templatesOf(), policiesOf(nobody{})} {
			t.Run(name, func(t *testing.T) {
				g := NewWithT(t)
				e := endpointOf(h)
				resp := post(t, e, c.body)
				g.Expect(resp.Allowed).To(BeFalse())
				g.Expect(resp.Result.Code).To(BeEquivalentTo(c.code))
				g.Expect(resp.Result.Message).To(HavePrefix("bulkhead: "))
				g.Expect(resp.Result.Message).To(ContainSubstring(c.reason))
				g.Expect(isolation.Sanitize(resp.Result.Message, maxLine)).To(Equal(resp.Result.Message))
				g.Expect(testutil.ToFloat64(e.metrics.reviews.WithLabelValues(e.resource, verdictError))).To(BeEquivalentTo(1))
				g.Expect(testutil.ToFloat64(e.metrics.inFlight.WithLabelValues(e.resource))).To(BeZero())
			})
		}
	}
}

// chunked is a body whose length is not told beforehand.
type chunked struct{ io.Reader }

func TestALargeBodyIsRefusedHoweverItComes(t *testing.T) {
	for name, length := range map[string]int64{"announced": 8 << 20, "not announced": -1} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			body := &counted{Reader: bytes.NewReader(bytes.Repeat([]byte(" "), 8<<20))}
			r := httptest.NewRequest(http.MethodPost, "/", chunked{body})
			r.ContentLength = length
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			e := endpointOf(handlerOf())
			e.ServeHTTP(w, r)
			g.Expect(w.Code).To(Equal(http.StatusRequestEntityTooLarge))
			g.Expect(body.read).To(BeNumerically("<=", maxBody+1))
			g.Expect(e.limits.large).To(BeEmpty(), "its place is free again")
		})
	}
}

type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

func TestALargeReviewIsJudged(t *testing.T) {
	p := podOf(hostPID)
	p.Annotations = map[string]string{"large": strings.Repeat("x", 2<<20)}
	resp := ask(t, handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny))), creation(t, p))
	NewWithT(t).Expect(resp.Result.Message).To(ContainSubstring("policy tenants: pid"))
}

func TestOnlyPostsOfJSONAreAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		method, content string
		code            int
	}{
		"a read":                  {http.MethodGet, "application/json", http.StatusMethodNotAllowed},
		"a put":                   {http.MethodPut, "application/json", http.StatusMethodNotAllowed},
		"a form":                  {http.MethodPost, "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType},
		"no type":                 {http.MethodPost, "", http.StatusUnsupportedMediaType},
		"JSON with its character": {http.MethodPost, "application/json; charset=utf-8", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(c.method, "/", bytes.NewReader(bodyOf(t, creation(t, podOf()))))
			r.Header.Set("Content-Type", c.content)
			endpointOf(handlerOf()).ServeHTTP(w, r)
			NewWithT(t).Expect(w.Code).To(Equal(c.code))
		})
	}
}

// handlerFunc answers as it likes.
type handlerFunc func(context.Context) (*answer, error)

func (f handlerFunc) handle(ctx context.Context, _ string, _ []byte) (*answer, error) { return f(ctx) }

func TestTheTimeoutOfTheAPIServerIsTheDeadline(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"?timeout=1s":      900 * time.Millisecond,
		"?timeout=5s":      5*time.Second - onTheWay,
		"?timeout=2m":      maxPatience - onTheWay,
		"?timeout=-1s":     defaultPatience - onTheWay,
		"?timeout=forever": defaultPatience - onTheWay,
		"":                 defaultPatience - onTheWay,
	} {
		t.Run(query, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(patience(httptest.NewRequest(http.MethodPost, "/validate-pods"+query, nil))).To(Equal(want))
		})
	}
	t.Run("of the context", func(t *testing.T) {
		var left time.Duration
		e := endpointOf(handlerFunc(func(ctx context.Context) (*answer, error) {
			deadline, ok := ctx.Deadline()
			if !ok {
				t.Error("no deadline")
			}
			left = time.Until(deadline)
			return allowed("1"), nil
		}))
		post(t, e, []byte("{}"))
		NewWithT(t).Expect(left).To(And(BeNumerically(">", time.Second), BeNumerically("<=", 5*time.Second-onTheWay)))
	})
}

func TestWhoCannotBeAnsweredInTimeIsToldToTryAgain(t *testing.T) {
	g := NewWithT(t)
	e := endpointOf(handlerOf())
	for range maxJudged {
		e.limits.judged <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bodyOf(t, creation(t, podOf())))).WithContext(ctx)
	r.Header.Set("Content-Type", "application/json")
	e.ServeHTTP(w, r)
	g.Expect(w.Code).To(Equal(http.StatusTooManyRequests))
	g.Expect(w.Body.String()).To(ContainSubstring("32 reviews of this size are being answered"))

	<-e.limits.judged
	expectAllowed(t, post(t, e, bodyOf(t, creation(t, podOf()))))
	g.Expect(e.limits.judged).To(HaveLen(maxJudged - 1))
}

func TestLargeReviewsDoNotStandInTheWayOfSmallOnes(t *testing.T) {
	e := endpointOf(handlerOf())
	for range maxLarge {
		e.limits.large <- struct{}{}
	}
	expectAllowed(t, post(t, e, bodyOf(t, creation(t, podOf()))))
}

// slowReader is an API server that answers nothing until it may, and a cache that knows one namespace.
type slowReader struct {
	client.Reader
	asked, may chan struct{}
}

func (r slowReader) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	if key.Name == "shop" {
		return nil
	}
	if r.asked != nil {
		r.asked <- struct{}{}
		<-r.may
	}
	return apierrors.NewNotFound(corev1.Resource("namespaces"), key.Name)
}

func TestNamespacesThatThereAreNotStandInNobodysWay(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
	live := slowReader{asked: make(chan struct{}), may: make(chan struct{})}
	h.namespaces = newNamespaces(slowReader{}, live, logr.Discard())
	e := endpointOf(h)
	strange := creation(t, podOf(hostPID))
	strange.Namespace = "nowhere"
	answers := make(chan *admissionv1.AdmissionResponse, 2*maxJudged)
	for range maxAsking {
		go func() { answers <- post(t, e, bodyOf(t, strange)) }()
		<-live.asked
	}
	// Whoever comes now is told at once.
	for range 2*maxJudged - maxAsking {
		answers <- post(t, e, bodyOf(t, strange))
	}
	expectAllowed(t, post(t, e, bodyOf(t, creation(t, podOf()))))
	close(live.may)
	for range cap(answers) {
		resp := <-answers
		g.Expect(resp.Allowed).To(BeFalse())
		g.Expect(resp.Result.Message).To(ContainSubstring(`the labels of namespace "nowhere" could not be read`))
	}
	g.Expect(h.namespaces.asking).To(BeEmpty())
	g.Expect(e.limits.judged).To(BeEmpty())
}

func TestACallFailsUntilThePoliciesAreRead(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf()
	h.policies = func() ([]*isolation.Policy, bool) { return nil, false }
	resp := ask(t, h, creation(t, podOf()))
	g.Expect(resp.Result.Code).To(BeEquivalentTo(http.StatusServiceUnavailable))
	g.Expect(resp.Result.Message).To(ContainSubstring("has not read the policies yet"))
}

func TestAPanicFailsTheCallAndIsCounted(t *testing.T) {
	g := NewWithT(t)
	e := endpointOf(handlerFunc(func(context.Context) (*answer, error) { panic("out of range\x1b") }))
	resp := post(t, e, []byte("{}"))
	g.Expect(resp.Result.Code).To(BeEquivalentTo(http.StatusInternalServerError))
	g.Expect(resp.Result.Message).To(ContainSubstring("a defect of Bulkhead"))
	g.Expect(testutil.ToFloat64(e.metrics.panics)).To(BeEquivalentTo(1))
	g.Expect(testutil.ToFloat64(e.metrics.inFlight.WithLabelValues(e.resource))).To(BeZero())
	g.Expect(e.limits.judged).To(BeEmpty())
}

func TestConnectionsCloseOnceTheReplicaIsAskedToEnd(t *testing.T) {
	g := NewWithT(t)
	ending := make(chan struct{})
	e := endpointOf(handlerFunc(func(context.Context) (*answer, error) { return allowed("1"), nil }))
	e.ending = ending
	connection := func() string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		e.ServeHTTP(w, r)
		g.Expect(w.Code).To(Equal(http.StatusOK))
		return w.Header().Get("Connection")
	}
	g.Expect(connection()).To(BeEmpty())
	close(ending)
	g.Expect(connection()).To(Equal("close"))
}

func TestAnErrorThatNobodyForesawFailsTheCall(t *testing.T) {
	resp := post(t, endpointOf(handlerFunc(func(context.Context) (*answer, error) { return nil, errors.New("the\ncache") })), []byte("{}"))
	g := NewWithT(t)
	g.Expect(resp.Result.Reason).To(Equal(metav1.StatusReasonInternalError))
	g.Expect(resp.Result.Message).To(Equal(`bulkhead: the\ncache`))
}

func TestTheDurationOfAReviewIsObserved(t *testing.T) {
	h := handlerOf()
	expectAllowed(t, ask(t, h, creation(t, podOf())))
	NewWithT(t).Expect(testutil.CollectAndCount(h.metrics.duration)).To(Equal(1))
}
