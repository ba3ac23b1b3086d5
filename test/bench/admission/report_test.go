// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

func TestAPercentileIsAValueThatWasMeasured(t *testing.T) {
	g := NewWithT(t)
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	g.Expect(percentile(hundred, 50)).To(Equal(time.Duration(50)))
	g.Expect(percentile(hundred, 99)).To(Equal(time.Duration(99)))
	g.Expect(percentile(hundred[:1], 99)).To(Equal(time.Duration(1)))
	g.Expect(percentile(hundred[:10], 99)).To(Equal(time.Duration(10)))
}

// rated is a window of one second.
func rated(name string, round, requests int) window {
	return window{Case: name, Clients: 1, Round: round, Requests: requests, Seconds: 1}
}

func TestARoundIsComparedWithItself(t *testing.T) {
	g := NewWithT(t)
	// The machine was twice as fast in the second round, and the webhook cost half in both.
	s := summarize([]window{
		rated(caseNone, 0, 100), rated(caseWebhook, 0, 50), rated(caseWebhook, 1, 100), rated(caseNone, 1, 200),
	})
	g.Expect(s).To(HaveLen(2))
	g.Expect(s[1].Case).To(Equal(caseWebhook))
	g.Expect(s[1].RateToNone).To(Equal(figure{Median: 0.5, Low: 0.5, High: 0.5}))
	g.Expect(s[0].RateToNone.Median).To(Equal(1.0))
}

func TestAnIntervalLeavesOutliersAlone(t *testing.T) {
	g := NewWithT(t)
	f := figureOf([]float64{10, 11, 12, 13, 14, 15, 16, 17, 18, 1000})
	g.Expect(f.Median).To(Equal(14.5))
	g.Expect(f.Low).To(And(BeNumerically(">", 10), BeNumerically("<", 14)))
	g.Expect(f.High).To(And(BeNumerically(">", 15), BeNumerically("<", 1000)))
}

func TestTargetsAreCalledMissedWhenTheyAre(t *testing.T) {
	g := NewWithT(t)
	slow := rated(caseWebhook, 0, 50)
	slow.ReviewCPU = 351
	r := result{Memory: process.Memory{Peak: 64 << 20}}
	r.Summary = summarize([]window{rated(caseNone, 0, 100), rated(caseVAP, 0, 95), slow})
	var out bytes.Buffer
	g.Expect(r.print(&out, "file")).To(Succeed())
	g.Expect(strings.Split(out.String(), "\n")).To(ContainElements(
		ContainSubstring("target missed: webhook CPU per review"),
		ContainSubstring("target met: VAP engine"),
		ContainSubstring("target met: memory"),
	))
}

func TestOptionsThatAreWrongAreRefusedWithWhatWasGiven(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", "somewhere")
	for _, wrong := range []struct{ name, value string }{
		{"ROUNDS", "0"}, {"ROUNDS", "many"}, {"DURATION", "2"}, {"DURATION", "-1s"}, {"CLIENTS", "1,,2"}, {"CLIENTS", "0"},
	} {
		g := NewWithT(t)
		_, err := fromEnvironment(func(name string) string {
			if name == wrong.name {
				return wrong.value
			}
			return ""
		})
		g.Expect(err).To(MatchError(ContainSubstring(wrong.name + `="` + wrong.value + `"`)))
	}
}

func TestTheProcessorClockOfAProcessRuns(t *testing.T) {
	g := NewWithT(t)
	read := func() time.Duration {
		d, err := process.CPU(1)
		g.Expect(err).NotTo(HaveOccurred())
		return d
	}
	g.Expect(read()).To(BeNumerically(">", 0))
	_, err := process.CPU(1 << 22)
	g.Expect(err).To(MatchError(ContainSubstring("4194304")))
}
