package node

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"qifeng/chain"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// TestRunningNode runs four nodes and looks at what an operator's tools see of
// them: metrics, what is drawn and alerted from them, and logs.
func TestRunningNode(t *testing.T) {
	n := newTestNet(t)
	seen := scrapes4(t, n)
	t.Run("metrics", func(t *testing.T) { checkNumbers(t, n) })
	t.Run("names", func(t *testing.T) { checkNames(t, n, seen) })
	t.Run("documented", func(t *testing.T) { checkDocumented(t, seen) })
	t.Run("dashboard", func(t *testing.T) { checkDashboard(t, seen) })
	t.Run("alerts", func(t *testing.T) { checkAlerts(t, seen) })
	t.Run("silent", func(t *testing.T) { checkSilent(t, n, seen) })
}

// families are metrics by name.
type families map[string]*dto.MetricFamily

func (f families) add(text string) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	got, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return err
	}
	for name, fam := range got {
		if have := f[name]; have != nil {
			have.Metric = append(have.Metric, fam.Metric...)
		} else {
			f[name] = fam
		}
	}
	return nil
}

// labels are the label names of a family, le and quantile left out.
func labels(f *dto.MetricFamily) []string {
	set := map[string]bool{}
	for _, m := range f.Metric {
		for _, l := range m.Label {
			set[l.GetName()] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// value is a number of the first metric of a family that has the labels.
func (f families) value(name string, with ...string) (float64, bool) {
	fam := f[name]
	if fam == nil {
		return 0, false
	}
	for _, m := range fam.Metric {
		have := map[string]string{}
		for _, l := range m.Label {
			have[l.GetName()] = l.GetValue()
		}
		ok := true
		for i := 0; i+1 < len(with); i += 2 {
			ok = ok && have[with[i]] == with[i+1]
		}
		if !ok {
			continue
		}
		switch {
		case m.Gauge != nil:
			return m.Gauge.GetValue(), true
		case m.Counter != nil:
			return m.Counter.GetValue(), true
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount()), true
		}
	}
	return 0, false
}

func scraped(t testing.TB, url string) families {
	t.Helper()
	status, text := get(t, url)
	if status != 200 {
		return nil
	}
	f := families{}
	if err := f.add(text); err != nil {
		t.Fatalf("%s: %v\n%s", url, err, text)
	}
	return f
}

// scrapes4 brings the network up, works with it, and returns everything that
// its metrics ever showed. The first member starts alone and without its guard,
// so that what is missing is seen too.
func scrapes4(t *testing.T, n *testNet) families {
	seen := families{}
	own := "http://" + n.scrape + "/metrics"
	lockedAnchor(t, n, len(n.state.Members)-1)
	other, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	witnessOf(t, n, n.home(0), "court.example/witness", func(string) []string { return []string{checkpoint.LogKey("log.example/other", other.Public())} })
	if err := os.Remove(n.home(0).path(Default().Keys.Guard)); err != nil {
		t.Fatal(err)
	}
	n.start(0)
	poll(t, "the first member shows what is missing", func() bool {
		f := scraped(t, own)
		if _, shown := f.value("qifeng_guard_refusing", "reason", string(chain.CodeGuardMissing)); !shown {
			return false
		}
		if v, ok := f.value("qifeng_unready", "reason", "starting"); !ok || v != 1 {
			t.Errorf("a node that starts is ready: %v", v)
		}
		_, text := get(t, own)
		return seen.add(text) == nil
	})
	for i := range n.state.Members[1:] {
		n.start(i + 1)
	}
	for i := range n.state.Members {
		poll(t, "every member is ready", func() bool { status, _ := get(t, n.url(i, "/readyz")); return status == 200 })
	}
	vendor := len(n.state.Members) - 1
	if err := ensureKeys(t.Context(), n.home(vendor), n.url(vendor, "")); err != nil {
		t.Fatal(err)
	}
	plantAndSubmit(t, n, vendor)
	poll(t, "a checkpoint is anchored", func() bool {
		_, ok := scraped(t, n.url(vendor, "/metrics")).value("qifeng_anchor_age_seconds", "anchor", "tsa")
		return ok
	})
	if code, said := askWitness(t, n.url(0, "/witness/add-checkpoint"), "log.example/other", other, "0", "1"); code != 200 {
		t.Errorf("the witness does not cosign: %d %s", code, said)
	}
	for _, url := range []string{own, n.url(vendor, "/metrics")} {
		_, text := get(t, url)
		if err := seen.add(text); err != nil {
			t.Fatal(err)
		}
	}
	return seen
}

// checkNumbers holds what the vendor's node shows against what was done.
func checkNumbers(t *testing.T, n *testNet) {
	vendor := len(n.state.Members) - 1
	poll(t, "both batches are seen sealed", func() bool {
		v, _ := scraped(t, n.url(vendor, "/metrics")).value("qifeng_record_seal_duration_seconds")
		return v >= 2
	})
	f := scraped(t, n.url(vendor, "/metrics"))
	is := func(want float64, name string, with ...string) {
		t.Helper()
		if v, ok := f.value(name, with...); !ok || v != want {
			t.Errorf("%s%v is %v (%v), want %v", name, with, v, ok, want)
		}
	}
	least := func(want float64, name string, with ...string) {
		t.Helper()
		if v, ok := f.value(name, with...); !ok || v < want {
			t.Errorf("%s%v is %v (%v), want at least %v", name, with, v, ok, want)
		}
	}
	is(1, "qifeng_ready")
	is(1, "qifeng_quorum_met")
	is(3, "qifeng_quorum_members_needed")
	is(2, "qifeng_quorum_neutral_roles_needed")
	least(3, "qifeng_quorum_members_sealing")
	is(1, "qifeng_quorum_role_members", "role", "court")
	is(2, "qifeng_intake_records_total", "result", "stored")
	is(2, "qifeng_intake_requests_total", "result", "stored")
	is(2, "qifeng_intake_group_records")
	is(2, "qifeng_batch_committed_records_total")
	is(2, "qifeng_record_seal_duration_seconds")
	is(0, "qifeng_batch_unsealed_records")
	is(2, "qifeng_record_commit_duration_seconds")
	is(2, "qifeng_batch_delivery_duration_seconds")
	is(0, "qifeng_archive_backlog_records")
	is(0, "qifeng_archive_alarm", "kind", "full")
	is(1, "qifeng_guard_ok")
	least(1, "qifeng_anchor_entries", "anchor", "tsa", "kind", "rfc3161")
	least(1, "qifeng_anchor_attempts_total", "anchor", "tsa", "result", "stored")
	is(0, "qifeng_anchor_alarm", "anchor", "tsa")
	is(0, "qifeng_anchor_failing", "anchor", "tsa")
	is(1, "qifeng_anchor_failing", "anchor", "locked")
	is(0, "qifeng_guard_alarm")
	is(1, "qifeng_chain_peer_connected", "member", "court-a")
	least(4, "qifeng_chain_ledger_entries") // genesis, keys, two batches
	least(4, "qifeng_sealed_entries")
	least(1, "qifeng_seal_arrival_duration_seconds", "member", "notary-a")
	least(3, "qifeng_seal_quorum_duration_seconds")
	least(1, "qifeng_http_problems_total", "route", "/v1/records/:id") // nobody signed those reads
	least(1, "qifeng_http_requests_total", "route", "/v1/records", "method", "POST", "code", "201")
	for _, step := range []chain.Step{chain.StepExecute, chain.StepCommit, chain.StepGuard, chain.StepSign} {
		least(1, "qifeng_chain_step_duration_seconds", "step", string(step))
	}
	court := scraped(t, "http://"+n.scrape+"/metrics")
	if v, ok := court.value("qifeng_chain_alarms", "code", string(chain.CodeGuardRemade)); !ok || v != 1 {
		t.Errorf("a guard that was made again counts %v alarms", v)
	}
	if status, _ := get(t, n.url(0, "/metrics")); status != 404 {
		t.Errorf("with an address of its own, /metrics on the API answers %d", status)
	}
	if status, _ := get(t, "http://"+n.scrape+"/"); status != 404 {
		t.Errorf("the metrics' address answers %d to another path", status)
	}
}

// checkNames holds names and labels against the conventions, and the number of
// series against what four members can have.
func checkNames(t *testing.T, n *testNet, seen families) {
	last := scraped(t, "http://"+n.scrape+"/metrics")
	problems, err := promlint.NewWithMetricFamilies(slices.Collect(maps.Values(last))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, namespace+"_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	series := 0
	for name, f := range seen {
		for _, l := range labels(f) {
			if strings.HasPrefix(name, namespace+"_") && !slices.Contains(allowedLabels, l) {
				t.Errorf("%s has the label %s: is its list closed?", name, l)
			}
		}
	}
	for _, f := range last {
		for _, m := range f.Metric {
			series += 1 + len(m.GetHistogram().GetBucket())
		}
	}
	if series > 1500 {
		t.Errorf("one of four nodes shows %d series", series)
	}
	t.Logf("%d families, %d series", len(last), series)
}

// allowedLabels have closed lists of values: members, roles, codes of the
// program, patterns of routes, names of the configuration's anchors
// and origins of its logs.
var allowedLabels = []string{"route", "method", "code", "problem", "result", "step", "member", "role", "reason", "kind", "version", "go_version", "anchor", "log"}

// checkDocumented holds docs/metrics.md against what the nodes showed: every
// metric of ours stands there once, with its type and labels.
func checkDocumented(t *testing.T, seen families) {
	b, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`"+namespace+"_") {
			continue
		}
		name, kind, labelled := strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2]), strings.Trim(cells[3], " ")
		if documented[name] {
			t.Errorf("%s stands twice", name)
		}
		documented[name] = true
		f := seen[name]
		if f == nil {
			t.Errorf("%s is documented and not shown", name)
			continue
		}
		if want := strings.ToLower(f.GetType().String()); kind != want {
			t.Errorf("%s is documented as %s, it is a %s", name, kind, want)
		}
		want := labels(f)
		for i := range want {
			want[i] = "`" + want[i] + "`"
		}
		if got := strings.Fields(labelled); !slices.Equal(slices.Sorted(slices.Values(got)), want) && !(labelled == "" && len(want) == 0) {
			t.Errorf("%s is documented with the labels %v, it has %v", name, got, want)
		}
	}
	for name := range seen {
		if strings.HasPrefix(name, namespace+"_") && !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
}

// checkDashboard: every query of the dashboard is of metrics and labels that
// there are.
func checkDashboard(t *testing.T, seen families) {
	b, err := os.ReadFile("../deploy/grafana/qifeng.json")
	if err != nil {
		t.Fatal(err)
	}
	type panel struct {
		ID      int
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
	var board struct {
		UID, Title string
		Panels     []panel
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	ids, queries := map[int]bool{}, 0
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d (%q): its id is taken, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			queries++
			if err := checkQuery(target.Expr, seen); err != nil {
				t.Errorf("panel %q: %s: %v", p.Title, target.Expr, err)
			}
		}
	}
	if board.UID == "" || queries < 20 {
		t.Errorf("dashboard %q with %d queries", board.UID, queries)
	}
}

// checkAlerts: every rule has a name, a query of what there is, a severity, a
// text in both languages, and its paragraph in the operator's documentation.
func checkAlerts(t *testing.T, seen families) {
	rules, err := os.ReadFile("../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := parseRules(string(rules))
	if len(alerts) < 10 {
		t.Errorf("only %d alerts", len(alerts))
	}
	for _, a := range alerts {
		if err := checkQuery(a["expr"], seen); err != nil {
			t.Errorf("%s: %s: %v", a["alert"], a["expr"], err)
		}
		for _, field := range []string{"severity", "summary", "action"} {
			if a[field] == "" {
				t.Errorf("%s has no %s", a["alert"], field)
			}
		}
		if !strings.Contains(a["summary"], " · ") {
			t.Errorf("%s: the summary is not in both languages", a["alert"])
		}
		if !strings.Contains(string(doc), "`"+a["alert"]+"`") {
			t.Errorf("%s does not stand in docs/metrics.md", a["alert"])
		}
	}
}

// parseRules reads the fields of each alert of a rules file, one a line, which
// is how ours are written; values are unquoted.
func parseRules(text string) []map[string]string {
	var out []map[string]string
	for line := range strings.Lines(text) {
		key, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ": ")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if key == "alert" {
			out = append(out, map[string]string{})
		}
		if len(out) > 0 {
			out[len(out)-1][key] = strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return out
}
