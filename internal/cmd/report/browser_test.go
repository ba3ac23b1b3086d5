// SPDX-License-Identifier: Apache-2.0

//go:build browser

package report

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// pictures is where screenshots are kept; git ignores it.
const pictures = "../../../bin/report"

// markup is the name of a pod that would do something if it were taken for more than text.
const markup = `<img src="https://example.com/x" onerror="document.title='owned'"><script>document.title='owned'</script>`

// findBrowser finds a Chromium by the names that distributions give it.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium-headless-shell", "chromium", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium: hack/install-debian.sh --browser installs one, or name yours in CHROMIUM")
	return ""
}

// browser is a tab that shows a report, and what it complained of.
type browser struct {
	t   *testing.T
	ctx context.Context
	at  string

	mutex sync.Mutex
	// complaints are messages on the console, exceptions and dialogs; requests what was asked for.
	complaints, requests []string
}

// open shows the report of an overview in a new browser, in this colour scheme.
func open(t *testing.T, o *overview, scheme string, limit int, before ...chromedp.Action) *browser {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeHTML(f, o, limit), f.Close()); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findBrowser(t)), chromedp.WindowSize(1440, 1000))
	if os.Getuid() == 0 {
		// Chromium's sandbox refuses to work for root. What is opened here is our own.
		options = append(options, chromedp.NoSandbox)
	}
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	tab, _ := chromedp.NewContext(allocated)
	// What never comes to be shown is waited for without end otherwise.
	ctx, giveUp := context.WithTimeout(tab, time.Minute)
	t.Cleanup(giveUp)
	// Before all else: it ends the browser, and waits until it is gone.
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil {
			t.Errorf("end the browser: %v", err)
		}
	})
	b := &browser{t: t, ctx: ctx, at: "file://" + file}
	chromedp.ListenTarget(ctx, b.listen)
	media := emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})
	b.do(append([]chromedp.Action{network.Enable(), log.Enable(), runtime.Enable(), media}, append(before, chromedp.Navigate(b.at))...)...)
	return b
}

func (b *browser) listen(event any) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	complain := func(format string, values ...any) {
		b.complaints = append(b.complaints, fmt.Sprintf(format, values...))
	}
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		complain("console: %s", e.Type)
	case *runtime.EventExceptionThrown:
		complain("exception: %v", e.ExceptionDetails)
	case *log.EventEntryAdded:
		complain("log: %s", e.Entry.Text)
	case *page.EventJavascriptDialogOpening:
		complain("dialog: %s", e.Message)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// quiet expects that nothing was complained of, and nothing asked for but the file itself and what is in it.
func (b *browser) quiet() {
	b.t.Helper()
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
	for _, url := range b.requests {
		if url != b.at && !strings.HasPrefix(url, "data:") {
			b.t.Errorf("the page asks for %q", url)
		}
	}
	if !slices.Contains(b.requests, b.at) {
		b.t.Errorf("it was not seen that the page was asked for: %q", b.requests)
	}
}

// evaluate is what an expression in the page says.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	var out T
	b.do(chromedp.Evaluate(expression, &out))
	return out
}

// visible are the names of the pods whose rows are shown, in order.
func (b *browser) visible() []string {
	b.t.Helper()
	return evaluate[[]string](b, `[...document.querySelectorAll("#matrix tbody tr")].filter(r => r.checkVisibility()).map(r => r.cells[0].innerText)`)
}

// keep takes a picture of the whole page.
func (b *browser) keep(name string) {
	b.t.Helper()
	var png []byte
	b.do(chromedp.FullScreenshot(&png, 100))
	if err := errors.Join(os.MkdirAll(pictures, 0o755), os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

// contrasts lists texts whose colours are too close to each other (WCAG 2.2, 1.4.3: at least 4.5 to 1).
const contrasts = `(() => {
  const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const ground = (e) => { if (!e) return [255, 255, 255]; const c = parse(getComputedStyle(e).backgroundColor); return c[3] === 1 ? c : over(c, ground(e.parentElement)); };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e), under = ground(e), ink = parse(style.color);
    ink[3] *= Number(style.opacity);
    const [a, b] = [light(over(ink, under)), light(under)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(e.tagName + "." + e.className + " " + e.textContent.slice(0, 20) + " " + ((a + 0.05) / (b + 0.05)).toFixed(2));
  }
  return bad;
})()`

func TestTheReportInABrowser(t *testing.T) {
	in, pods := inhabited(t)
	in.Reports["seen"].Status.Findings[0].Message += " " + markup
	o := built(t, in, append(pods, podOf(t, "shop", markup, "{containers: [{name: app}]}")))
	for _, scheme := range []string{"light", "dark"} {
		t.Run("in "+scheme, func(t *testing.T) {
			b := open(t, o, scheme, 0)
			b.keep(scheme)
			if dark := evaluate[bool](b, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).every(v => v < 64)`); dark != (scheme == "dark") {
				t.Errorf("the page is dark: %v", dark)
			}
			if bad := evaluate[[]string](b, contrasts); len(bad) > 0 {
				t.Errorf("these texts are hard to read: %q", bad)
			}
			b.showsTheMatrix(o)
			b.quiet()
		})
	}
	t.Run("markup is text", func(t *testing.T) {
		b := open(t, o, "light", 0)
		if !slices.Contains(b.visible(), "shop/"+markup) {
			t.Errorf("no row is named as the pod is: %q", b.visible())
		}
		if n := evaluate[int](b, `document.images.length + document.scripts.length`); n != 1 {
			t.Errorf("the page has %d images and scripts, one script is its own", n)
		}
		if title := evaluate[string](b, `document.title`); !strings.HasPrefix(title, "Isolation report") {
			t.Errorf("the title is %q", title)
		}
		b.quiet()
	})
	t.Run("filters and sorts", func(t *testing.T) { filtersAndSorts(t, o) })
	t.Run("without scripts", func(t *testing.T) {
		b := open(t, o, "light", 0, emulation.SetScriptExecutionDisabled(true))
		if got := b.visible(); len(got) != len(o.Pods) {
			t.Errorf("it shows %d of %d pods", len(got), len(o.Pods))
		}
		if evaluate[bool](b, `document.querySelector("form.filter").checkVisibility()`) {
			t.Error("it shows a filter that does nothing")
		}
		b.quiet()
	})
	t.Run("bounded", func(t *testing.T) {
		b := open(t, o, "light", 2)
		if got := b.visible(); len(got) != 2 || got[0] != "shop/escaped" {
			t.Errorf("it shows %q, not the two worst", got)
		}
		left := evaluate[[]string](b, `[...document.querySelectorAll(".left")].map(e => e.innerText)`)
		if len(left) != 3 || !strings.HasPrefix(left[0], fmt.Sprintf("%d more pods", len(o.Pods)-2)) {
			t.Errorf("it says of what it leaves out: %q", left)
		}
	})
	t.Run("empty", func(t *testing.T) {
		b := open(t, built(t, &surroundings{Now: now}, nil), "light", 0)
		if got := evaluate[[]string](b, `[...document.querySelectorAll(".empty")].map(e => e.innerText)`); len(got) != 4 {
			t.Errorf("it says of what there is none: %q", got)
		}
		b.quiet()
	})
	t.Run("on paper", func(t *testing.T) {
		b := open(t, o, "dark", 0)
		var pdf []byte
		b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
			pdf, _, err = page.PrintToPDF().WithPreferCSSPageSize(true).WithPrintBackground(true).Do(ctx)
			return err
		}))
		if err := os.WriteFile(filepath.Join(pictures, "paper.pdf"), pdf, 0o644); err != nil {
			t.Fatal(err)
		}
		b.do(emulation.SetEmulatedMedia().WithMedia("print"))
		if hidden := evaluate[bool](b, `!document.querySelector("form.filter").checkVisibility() && document.querySelector("details li").checkVisibility({contentVisibilityAuto: true})`); !hidden {
			t.Error("paper has a filter, or no findings")
		}
		b.keep("paper")
	})
}

// showsTheMatrix expects every cell as the value has it, and what a reader without eyes needs.
func (b *browser) showsTheMatrix(o *overview) {
	b.t.Helper()
	shown := evaluate[[][]string](b, `[...document.querySelectorAll("#matrix tbody tr")].map(r => [...r.cells].map(c => c.className + "|" + c.innerText))`)
	if len(shown) != len(o.Pods) {
		b.t.Fatalf("the matrix has %d rows of %d pods", len(shown), len(o.Pods))
	}
	for i := range o.Pods {
		p := &o.Pods[i]
		if got, want := shown[i][0], "|"+p.Namespace+"/"+p.Name; got != want {
			b.t.Fatalf("row %d is of %q, want %q", i, got, want)
		}
		if !strings.Contains(shown[i][2], string(p.Verdict)) {
			b.t.Errorf("the verdict on %s is shown as %q, want %s", p.Name, shown[i][2], p.Verdict)
		}
		for _, c := range p.cells() {
			class, text, _ := strings.Cut(shown[i][3+int(c.Axis)], "|")
			required := c.Required == isolation.None || c.Required == c.Observed || strings.Contains(text, "≥ "+c.Required.String())
			if want := "cell " + string(c.State); class != want && class != want+" demanded" || !strings.Contains(text, c.Observed.String()) || !required {
				b.t.Errorf("%s of %s is shown as %q of class %q, want %+v", c.Axis, p.Name, text, class, c)
			}
			if mark := map[state]string{below: "✕", unknown: "?", exempted: "~", met: "✓"}[c.State]; !strings.HasPrefix(text, mark) {
				b.t.Errorf("%s of %s tells its state by colour alone: %q", c.Axis, p.Name, text)
			}
		}
		beside := "cell free|–"
		if what := p.beside(); len(what) > 0 {
			beside = "cell below|✕ " + strings.Join(what, ", ")
		}
		if got := shown[i][3+isolation.NumAxes]; got != beside {
			b.t.Errorf("beside the axes %s is shown as %q, want %q", p.Name, got, beside)
		}
	}
	if evaluate[bool](b, `[...document.querySelectorAll("th")].some(h => !h.scope) || document.documentElement.lang !== "en" || document.querySelectorAll("h1").length !== 1`) {
		b.t.Error("a header has no scope, or the page has no language or not one heading")
	}
}

func filtersAndSorts(t *testing.T, o *overview) {
	b := open(t, o, "light", 0)
	expect := func(what string, names ...string) {
		t.Helper()
		if got := b.visible(); !slices.Equal(got, names) {
			t.Errorf("%s: it shows %q, want %q", what, got, names)
		}
		if got, want := evaluate[string](b, `document.getElementById("shown").textContent`), fmt.Sprintf("%d of %d pods", len(names), len(o.Pods)); got != want {
			t.Errorf("%s: it says %q, want %q", what, got, want)
		}
	}
	empty := chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl))
	empty = chromedp.Tasks{chromedp.Focus("#search"), empty, chromedp.KeyEvent(kb.Delete)}
	b.do(chromedp.SendKeys("#search", "SHOP esc"))
	expect("two words, in capitals", "shop/escaped")
	b.do(chromedp.SendKeys("#search", " nowhere"))
	expect("a word that is nowhere")
	b.do(empty, chromedp.SendKeys("#search", "lab"))
	expect("a namespace", "lab/sandboxed")
	b.do(chromedp.Click(`input[value="Unverified"]`))
	expect("a verdict less")
	b.do(empty, chromedp.SendKeys("#search", "seen"), chromedp.Click(`input[value="Breached"]`))
	expect("another verdict less, on a node", "shop/powerful", "shop/debugger", "shop/web", "kube-system/proxy")
	b.do(chromedp.Click(`#matrix thead th:nth-child(1) button`))
	expect("sorted by pod", "kube-system/proxy", "shop/debugger", "shop/powerful", "shop/web")
	b.do(chromedp.Click(`#matrix thead th:nth-child(1) button`))
	expect("sorted by pod, the other way", "shop/web", "shop/powerful", "shop/debugger", "kube-system/proxy")
	if got := evaluate[string](b, `document.querySelector("#matrix th[aria-sort]").ariaSort`); got != "descending" {
		t.Errorf("the header says that it is sorted %q", got)
	}
	b.quiet()
}
