// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// wrong says what a policy with everyPortal forbids in a pod, by the plain JSON of it and without
// any of the code that judges. had are the debug containers that were there before; if it is not
// nil the pod is being extended.
func wrong(pod map[string]any, had map[string]bool) string {
	spec := object(pod["spec"])
	if had == nil {
		for _, f := range []string{"hostPID", "hostNetwork", "hostIPC", "shareProcessNamespace"} {
			if spec[f] == true {
				return f
			}
		}
		if object(object(spec["securityContext"])["windowsOptions"])["hostProcess"] == true {
			return "windowsOptions of the pod"
		}
		for _, v := range objects(spec["volumes"]) {
			if v["hostPath"] != nil {
				return "hostPath"
			}
		}
	}
	for _, kind := range []string{"initContainers", "containers", "ephemeralContainers"} {
		if had != nil && kind != "ephemeralContainers" {
			continue
		}
		for _, c := range objects(spec[kind]) {
			name, _ := c["name"].(string)
			if had[name] {
				continue
			}
			if w := wrongContainer(c); w != "" {
				return w + " in " + kind
			}
		}
	}
	return ""
}

func wrongContainer(c map[string]any) string {
	security := object(c["securityContext"])
	mount, _ := security["procMount"].(string)
	switch {
	case security["privileged"] == true:
		return "privileged"
	case mount != "" && mount != "Default":
		return "procMount"
	case object(security["windowsOptions"])["hostProcess"] == true:
		return "windowsOptions"
	case c["volumeDevices"] != nil && len(objects(c["volumeDevices"])) > 0:
		return "volumeDevices"
	}
	if added, ok := object(security["capabilities"])["add"].([]any); ok && len(added) > 0 {
		return "capabilities"
	}
	for _, m := range objects(c["volumeMounts"]) {
		if p, _ := m["mountPropagation"].(string); p != "" && p != "None" {
			return "mountPropagation"
		}
	}
	for _, p := range objects(c["ports"]) {
		if n, _ := p["hostPort"].(float64); n != 0 {
			return "hostPort"
		}
	}
	lifecycle := object(c["lifecycle"])
	for _, of := range []any{c["livenessProbe"], c["readinessProbe"], c["startupProbe"], lifecycle["postStart"], lifecycle["preStop"]} {
		for _, to := range []string{"httpGet", "tcpSocket"} {
			if host, _ := object(object(of)[to])["host"].(string); host != "" {
				return "host of a probe"
			}
		}
	}
	return ""
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func objects(v any) []map[string]any {
	all, _ := v.([]any)
	out := make([]map[string]any, len(all))
	for i := range all {
		out[i] = object(all[i])
	}
	return out
}

// oracle reads a review with the standard library.
func oracle(t *testing.T, body []byte) string {
	var review map[string]any
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatalf("admitted what is no JSON: %v", err)
	}
	request := object(review["request"])
	var had map[string]bool
	if request["operation"] == "UPDATE" {
		had = map[string]bool{}
		for _, c := range objects(object(object(request["oldObject"])["spec"])["ephemeralContainers"]) {
			name, _ := c["name"].(string)
			had[name] = true
		}
	}
	return wrong(object(request["object"]), had)
}

func seedReviews(f *testing.F) {
	f.Add(recordedReview(f))
	violating(func(_, _ string, p *corev1.Pod) {
		f.Add(bodyOf(f, creation(f, p)))
		if debug := p.Spec.EphemeralContainers; len(debug) > 0 {
			f.Add(bodyOf(f, extension(f, podOf(), p)))
			f.Add(bodyOf(f, extension(f, p, podOf(func(q *corev1.Pod) { q.Spec.EphemeralContainers = debug }, debugger("dbg", false)))))
		}
	})
	f.Add(bodyOf(f, extension(f, podOf(hostPID), podOf(hostPID, debugger("dbg", true)))))
	for _, body := range []string{
		`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`,
		`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}`,
		`{"request":null}`, `{"apiVersion":"v1","kind":"Pod","spec":{"hostPID":true}}`, "\x00\xff",
	} {
		f.Add([]byte(body))
	}
}

// FuzzReview sends arbitrary bodies to a webhook whose policy lets nobody have anything. Whatever
// comes is answered without a panic, and nothing is admitted that the oracle finds wrong.
func FuzzReview(f *testing.F) {
	seedReviews(f)
	h := handlerOf(compile(f, policyOf("tenants", v1alpha1.Deny, everyPortal)))
	e := endpointOf(h)
	f.Fuzz(func(t *testing.T, body []byte) {
		resp := post(t, e, body)
		if n := testutil.ToFloat64(h.metrics.panics); n != 0 {
			t.Fatalf("%v panics", n)
		}
		if !resp.Allowed {
			if resp.Result == nil || resp.Result.Message == "" {
				t.Fatal("refused without a reason")
			}
			return
		}
		// Genuine mirrors are admitted, and said to be.
		if w := oracle(t, body); w != "" && resp.AuditAnnotations[auditMirror] == "" {
			t.Fatalf("admitted %s", w)
		}
	})
}

// FuzzOpenings makes pods out of bytes, each of which asks for one opening in one kind of container,
// or for none. Who asks for something is refused at its creation, and when it is added, and who asks
// for nothing is not.
func FuzzOpenings(f *testing.F) {
	f.Add([]byte{}, false)
	for i := range openings {
		f.Add([]byte{byte(i + 1), byte(i)}, i%2 == 0)
	}
	f.Add([]byte{9, 3, 0, 0, 12, 1, 17, 2}, true)
	kinds := slices.Sorted(maps.Keys(kindsOfContainers))
	h := handlerOf(compile(f, policyOf("tenants", v1alpha1.Deny, everyPortal)))
	f.Fuzz(func(t *testing.T, choices []byte, extended bool) {
		old, p := podOf(), podOf()
		asked := false
		for i := 0; i+1 < len(choices) && i < 32; i += 2 {
			kind := kinds[int(choices[i+1])%len(kinds)]
			n := int(choices[i]) % (len(openings) + 1)
			if extended {
				kind = "debug container"
			}
			c := kindsOfContainers[kind](&p.Spec)
			if n == len(openings) {
				continue
			}
			switch o := openings[n]; {
			case o.container != nil:
				o.container(c)
				asked = true
			case extended:
				// What the pod is was judged when it was created.
				o.pod(&old.Spec)
			default:
				o.pod(&p.Spec)
				asked = true
			}
		}
		for i := range p.Spec.EphemeralContainers {
			p.Spec.EphemeralContainers[i].Name += string(rune('a' + i))
		}
		r := creation(t, p)
		if extended {
			r = extension(t, old, p)
		}
		if resp := ask(t, h, r); resp.Allowed == asked {
			t.Fatalf("allowed %v of %s", resp.Allowed, r.Object.Raw)
		}
	})
}

// FuzzTemplate sends arbitrary bodies to the webhook that only warns: whatever it can answer it
// admits, and it does not panic.
func FuzzTemplate(f *testing.F) {
	for resource, w := range everyWorkload(templateOf(hostPID)) {
		f.Add(bodyOf(f, application(f, resource, w.object)))
		update := application(f, resource, w.object)
		update.Operation, update.OldObject = admissionv1.Update, runtime.RawExtension{Raw: []byte(`{"spec":{}}`)}
		f.Add(bodyOf(f, update))
	}
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1"}}`))
	h := templatesOf(compile(f, policyOf("tenants", v1alpha1.Deny, everyPortal)))
	e := endpointOf(h)
	f.Fuzz(func(t *testing.T, body []byte) {
		resp := post(t, e, body)
		if n := testutil.ToFloat64(h.metrics.panics); n != 0 {
			t.Fatalf("%v panics", n)
		}
		if !resp.Allowed && resp.UID != "" {
			t.Fatalf("refused a workload: %+v", resp.Result)
		}
	})
}

// FuzzPolicy sends arbitrary bodies to the webhook for policies: it does not panic, whatever it
// refuses it refuses with a reason, and what it accepts compiles.
func FuzzPolicy(f *testing.F) {
	r := admissionv1.AdmissionRequest{UID: "1", Operation: admissionv1.Create}
	r.Resource.Group, r.Resource.Version, r.Resource.Resource = v1alpha1.Group, "v1alpha1", "isolationpolicies"
	for _, p := range []*v1alpha1.IsolationPolicy{policyOf("a", v1alpha1.Deny, everyPortal), policyOf("b", v1alpha1.Warn, uncompilable)} {
		r.Object = raw(f, p)
		f.Add(bodyOf(f, r))
		update := r
		update.Operation, update.OldObject = admissionv1.Update, raw(f, policyOf("a", v1alpha1.Audit))
		f.Add(bodyOf(f, update))
	}
	pods := inhabited{pods: []corev1.Pod{running("ReplicaSet", "web-1", hostPID, hashed("1")), running("", "", hostNetwork)}}
	e := endpointOf(policiesOf(pods))
	f.Fuzz(func(t *testing.T, body []byte) {
		resp := post(t, e, body)
		if n := testutil.ToFloat64(e.metrics.panics); n != 0 {
			t.Fatalf("%v panics", n)
		}
		if !resp.Allowed && (resp.Result == nil || resp.Result.Message == "") {
			t.Fatal("refused without a reason")
		}
	})
}
