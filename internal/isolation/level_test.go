// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

var allLevels = []isolation.Level{
	isolation.None, isolation.Unknown, isolation.NotApplicable,
	isolation.Host, isolation.Foreign, isolation.Pod, isolation.Container,
}

func TestLowestPrefersWhatIsOpenToWhatIsUnknownToWhatIsClosed(t *testing.T) {
	ascending := []isolation.Level{
		isolation.Host, isolation.Foreign, isolation.Unknown, isolation.NotApplicable,
		isolation.Pod, isolation.Container, isolation.None,
	}
	for i, low := range ascending {
		for _, high := range ascending[i:] {
			if got := isolation.Lowest(low, high); got != low {
				t.Errorf("Lowest(%q, %q) = %q", low, high, got)
			}
			if got := isolation.Lowest(high, low); got != low {
				t.Errorf("Lowest(%q, %q) = %q", high, low, got)
			}
		}
	}
}

func TestWhatIsNoLevelSatisfiesNothing(t *testing.T) {
	for _, observed := range allLevels {
		for _, required := range allLevels {
			want := required == isolation.None || observed >= isolation.Host && observed >= required
			if got := observed.Satisfies(required); got != want {
				t.Errorf("%q satisfies %q: %v", observed, required, got)
			}
			v, r := isolation.Fill(observed), isolation.Fill(isolation.None)
			r[isolation.Mount] = required
			if got := v.Satisfies(&r); got != want {
				t.Errorf("vector of %q satisfies %q on one axis: %v", observed, required, got)
			}
			if observed < isolation.Host && observed.Below(required) {
				t.Errorf("%q is below %q", observed, required)
			}
		}
	}
}

func TestLevelsAreReadAsTheyAreWritten(t *testing.T) {
	for _, l := range allLevels {
		if got, err := isolation.ParseLevel(l.String()); err != nil || got != l {
			t.Errorf("%q is read as %q, %v", l, got, err)
		}
	}
	if _, err := isolation.ParseLevel("host"); err == nil || err.Error() != `level "host" is none of Host, Foreign, Pod, Container, Unknown, NotApplicable` {
		t.Errorf("error %v", err)
	}
	for _, a := range isolation.Axes {
		if got, ok := isolation.ParseAxis(a.String()); !ok || got != a {
			t.Errorf("%q is read as %q, %v", a, got, ok)
		}
	}
	if _, ok := isolation.ParseAxis("net"); ok {
		t.Error("net is an axis")
	}
}

func TestVectorsOfAReport(t *testing.T) {
	v := isolation.Vector{
		isolation.Host, isolation.Foreign, isolation.Pod, isolation.Container,
		isolation.Unknown, isolation.NotApplicable, isolation.Host, isolation.Pod,
	}
	if got := isolation.VectorOf(v.API()); got != v {
		t.Errorf("%v is read as %v", v, got)
	}
	for name, levels := range map[string]v1alpha1.Levels{
		"nothing": {},
		"garbage": {PID: "container", Network: "Pod ", IPC: "\x00", UTS: "None", Mount: "6", User: "Kernel", Cgroup: "PodContainer", Time: "Container\n"},
	} {
		if got := isolation.VectorOf(levels); got != isolation.Fill(isolation.Unknown) {
			t.Errorf("%s is read as %v", name, got)
		}
	}
	var unseen isolation.Vector
	if got := isolation.VectorOf(unseen.API()); got != isolation.Fill(isolation.Unknown) {
		t.Errorf("where nobody looked is written as %v", unseen.API())
	}
}
