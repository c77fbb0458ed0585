package node

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/proof"
	"qifeng/test/tsa"
	"qifeng/test/verifier2"
	"qifeng/test/witness"
)

// anchoredHome gives a home a real time-stamp authority of this machine, and its
// anchor roots, before the node is started.
func anchoredHome(t testing.TB, n *testNet, i int, more string) *tsa.Authority {
	t.Helper()
	authority := tsa.Start(t, tsa.Config{Alg: tsa.ECDSA})
	h := n.home(i)
	writeFile(t, string(h), "tsa-roots.pem", string(authority.RootPEM()))
	appendConfig(t, h, fmt.Sprintf("\n[anchor.tsa]\nkind = 'rfc3161'\nevery = '1s'\ntimeout = '10s'\nurl = '%s'\nroots = 'tsa-roots.pem'\n%s", authority.URL, more))
	n.command("anchor", "roots", "--home", string(h))
	n.command("config", "check", "--home", string(h))
	return authority
}

// anchorPassword is one that nobody may show.
const anchorPassword = "Wrong-Horse-17"

// lockedAnchor gives a home an authority that it works with, and one that refuses
// its password.
func lockedAnchor(t testing.TB, n *testNet, i int) {
	t.Helper()
	locked := tsa.Start(t, tsa.Config{Alg: tsa.ECDSA, User: "user", Password: "another"})
	writeFile(t, string(n.home(i)), "tsa-password", anchorPassword+"\n")
	anchoredHome(t, n, i, fmt.Sprintf("[anchor.locked]\nkind = 'rfc3161'\nevery = '1s'\nurl = '%s'\nuser = 'user'\npassword_file = 'tsa-password'\nroots = 'tsa-roots.pem'\n", locked.URL))
}

func appendConfig(t testing.TB, h home, text string) {
	t.Helper()
	path := h.path(configName)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(old, text...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// exits runs the command line in English and wants this exit code; it returns
// what was printed.
func (n *testNet) exits(want int, args ...string) string {
	n.t.Helper()
	code, out := n.run(args...)
	if code != want {
		n.t.Fatalf("qifeng %v: exit code %d, want %d\n%s", args, code, want, out)
	}
	return out
}

func (n *testNet) run(args ...string) (int, string) {
	var out bytes.Buffer
	a := &app{in: bytes.NewReader(nil), out: &out, errw: &out, getenv: func(string) string { return "" }}
	code := a.main(n.t.Context(), append([]string{"--lang", "en"}, args...))
	return code, out.String()
}

// TestAnchoredProof: a record is submitted, sealed, anchored at real outside
// witnesses and fetched; then everything is stopped, and the file alone, with
// policy and anchor roots, shows all of it. A tampered receipt does not.
func TestAnchoredProof(t *testing.T) {
	n := newTestNet(t)
	vendor := len(n.state.Members) - 1
	h := n.home(vendor)
	more := ""
	if _, err := exec.LookPath("sqlite3"); err == nil || os.Getenv("CI") != "" {
		policy, err := loadPolicy(h.path(policyName))
		if err != nil {
			t.Fatal(err)
		}
		lite := witness.Start(t, "witness.example/node", policy.WitnessLogKeys(&policy.Epochs[0])...)
		more = fmt.Sprintf("[anchor.lite]\nkind = 'witness'\nevery = '1s'\nurl = '%s'\nkey = '%s'\n", lite.URL, lite.Key)
	} else {
		t.Log("SKIPPED: the real C2SP witness, without sqlite3")
	}
	authority := anchoredHome(t, n, vendor, more)
	for i := range n.state.Members {
		n.start(i)
	}
	for i := range n.state.Members {
		poll(t, "every member is ready", func() bool { status, _ := get(t, n.url(i, "/readyz")); return status == 200 })
	}
	if err := ensureKeys(t.Context(), h, n.url(vendor, "")); err != nil {
		t.Fatal(err)
	}
	content := writeFile(t, t.TempDir(), "contract.txt", "anchored\n")
	file := content + proofSuffix
	home := string(h)

	// An anchor that hangs, or is away, delays nothing: the record is sealed, and
	// later anchored.
	authority.Fail(tsa.Fault{Hang: true})
	n.exits(0, "submit", content, "--home", home, "--wait", "--timeout", "10s")
	authority.Down()
	authority.Fail(tsa.Fault{})
	if slices.ContainsFunc(parsed(t, file).Anchors, func(a proof.Anchor) bool { return a.Kind == proof.AnchorRFC3161 }) {
		t.Fatal("a token of an authority that is down")
	}
	if got := n.exits(1, "anchor", "test", "tsa", "--home", home, "--timeout", "5s"); !strings.Contains(got, "how to mend it: ") {
		t.Errorf("no word of the mend: %s", got)
	}
	if err := authority.Up(); err != nil {
		t.Fatal(err)
	}
	before, look := parsed(t, file), filepath.Join(t.TempDir(), "look"+proofSuffix)
	everywhere := 1 + strings.Count(more, "[anchor.")
	poll(t, "the record is anchored everywhere", func() bool {
		code, out := n.run("proof", "upgrade", file, "--home", home, "--out", look)
		return code == 0 && strings.Count(out, "\n  ") == everywhere
	})
	if out := n.exits(0, "anchor", "list", "--home", home); strings.Count(out, "up to") != everywhere {
		t.Errorf("%s", out)
	}
	if got := n.exits(0, "anchor", "resume", "tsa", "--home", home); !strings.Contains(got, "no alarm") {
		t.Errorf("%s", got)
	}
	if got := n.exits(2, "anchor", "resume", "tsb", "--home", home); !strings.Contains(got, "it has: ") || exists(h.path("data/anchor-resume/tsb")) {
		t.Errorf("%s", got)
	}
	if got := n.exits(0, "anchor", "test", "tsa", "--home", home); !strings.Contains(got, "anchor tsa works") {
		t.Errorf("%s", got)
	}
	old := writeFile(t, t.TempDir(), "old"+proofSuffix, mustRead(t, file)) // as it was
	n.exits(0, "proof", "upgrade", file, "--home", home)
	after := parsed(t, file)
	if !bytes.Equal(before.Record, after.Record) || !bytes.Equal(before.Checkpoint, after.Checkpoint) || len(after.Anchors) != everywhere {
		t.Errorf("the upgrade changed what was there, or added %d anchors", len(after.Anchors))
	}
	// A record that is waited for comes with its anchors; so does one fetched later.
	second := writeFile(t, t.TempDir(), "second.txt", "anchored too\n")
	if got := n.exits(0, "submit", second, "--home", home, "--anchored"); !strings.Contains(got, "anchored") {
		t.Errorf("%s", got)
	}
	fetched := filepath.Join(t.TempDir(), "fetched"+proofSuffix)
	if got := n.exits(0, "proof", "get", string(after.RecordOf().ID()), "--home", home, "--out", fetched); !strings.Contains(got, "anchors came with it") {
		t.Errorf("%s", got)
	}
	if got := n.exits(0, "status", "--home", home); !strings.Contains(got, "tsa") {
		t.Errorf("the status does not show the anchor: %s", got)
	}
	status, companion := get(t, n.url(vendor, fmt.Sprintf("/v1/anchors?from=%d", ledgerSize(t, h, before))))
	if status != 200 {
		t.Fatal(companion)
	}
	companion = writeFile(t, t.TempDir(), "old"+anchorsSuffix, companion)
	backup := filepath.Join(t.TempDir(), "backup")
	n.exits(0, "backup", "--home", home, "--to", backup)

	// A call that hangs does not keep the node from stopping.
	asked := authority.Requests()
	authority.Fail(tsa.Fault{Hang: true})
	n.exits(0, "submit", writeFile(t, t.TempDir(), "third.txt", "third\n"), "--home", home, "--wait")
	poll(t, "a call that hangs", func() bool { return authority.Requests() > asked })
	began := time.Now()
	n.stop()
	if took := time.Since(began); took > stopGrace {
		t.Errorf("the nodes took %v to stop", took)
	}
	n.exits(0, "fsck", "--home", home)
	restoredReceipts(t, n, backup, after)

	policy, roots := h.path(policyName), h.path(Default().Anchors.Roots)
	for _, f := range []string{file, second + proofSuffix, fetched} {
		args := []string{f, "--policy", policy, "--anchor-roots", roots}
		verifier2.Agrees(t, 0, []byte(n.exits(0, append([]string{"verify", "--json"}, args...)...)), args...)
		// What was waited for came with the first anchor that there was, of whichever kind.
		got := n.exits(0, append([]string{"verify"}, args...)...)
		if !strings.Contains(got, "rfc3161/tsa") && (f != second+proofSuffix || !strings.Contains(got, "witness/lite")) {
			t.Errorf("%s: %s", f, got)
		}
	}
	report := n.exits(0, "verify", content, "--policy", policy, "--anchor-roots", roots, "--json")
	if !strings.Contains(report, `"rfc3161/tsa"`) {
		t.Errorf("the strongest source is not the authority: %s", report)
	}
	raw, err := os.ReadFile(roots)
	if err != nil {
		t.Fatal(err)
	}
	given, err := parseRoots(raw)
	if err != nil || !strings.Contains(report, fmt.Sprintf("%x", given.digest.SM3)) {
		t.Errorf("the report does not name the fingerprint of the roots: %v\n%s", err, report)
	}
	withCompanion(t, n, old, companion, policy, roots, everywhere)
	tamperedReceipt(t, n, after, policy, roots)
}

// withCompanion takes the anchors from a file beside the proof, and puts them into
// it, with nothing running and no home.
func withCompanion(t *testing.T, n *testNet, old, companion, policy, roots string, everywhere int) {
	t.Helper()
	given := []string{"--policy", policy, "--anchor-roots", roots}
	had := parsed(t, old)
	if got := n.exits(0, append([]string{"verify", old, "--anchors", companion}, given...)...); !strings.Contains(got, "rfc3161/tsa") {
		t.Errorf("%s", got)
	}
	out := filepath.Join(t.TempDir(), "new"+proofSuffix)
	n.exits(0, append([]string{"proof", "upgrade", old, "--from", companion, "-o", out}, given...)...)
	if f := parsed(t, out); len(f.Anchors) != everywhere || !bytes.Equal(f.Checkpoint, had.Checkpoint) || len(parsed(t, old).Anchors) != len(had.Anchors) {
		t.Errorf("%d anchors in the new file, or the old one has changed", len(f.Anchors))
	}
	// Twice is once; what is of another proof, or changed, changes nothing.
	n.exits(0, append([]string{"proof", "upgrade", out, "--from", companion}, given...)...)
	before := mustRead(t, out)
	other := writeFile(t, t.TempDir(), "other"+anchorsSuffix, strings.Replace(mustRead(t, companion), `"from": `, `"from": 1`, 1))
	n.exits(2, append([]string{"proof", "upgrade", out, "--from", other}, given...)...)
	f, err := proof.ParseAnchorFile([]byte(mustRead(t, companion)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Anchors {
		if r := f.Anchors[i].Receipt; len(r) > 0 {
			r[len(r)-1] ^= 1
		}
	}
	text, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	bad := writeFile(t, t.TempDir(), "bad"+anchorsSuffix, string(text))
	n.exits(1, append([]string{"verify", old, "--anchors", bad}, given...)...)
	n.exits(1, append([]string{"proof", "upgrade", old, "--from", bad, "-o", out + "2"}, given...)...)
	if mustRead(t, out) != before || exists(out+"2") {
		t.Error("a file was changed though nothing was proved")
	}
}

func ledgerSize(t *testing.T, h home, f *proof.File) uint64 {
	t.Helper()
	policy, err := loadPolicy(h.path(policyName))
	if err != nil {
		t.Fatal(err)
	}
	return proof.Verify(f, policy, nil, proof.Options{}).LedgerSize
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// restoredReceipts puts a backup back that was taken while the node ran, and finds
// the receipts in it that the proof has.
func restoredReceipts(t *testing.T, n *testNet, backup string, f *proof.File) {
	t.Helper()
	h := home(filepath.Join(t.TempDir(), "restored"))
	n.exits(0, "restore", "--from", backup, "--home", string(h))
	n.exits(0, "config", "check", "--home", string(h))
	policy, err := loadPolicy(h.path(policyName))
	if err != nil {
		t.Fatal(err)
	}
	s, err := anchor.Open(anchor.Config{Dir: h.path("data/anchor"), Policy: policy, Source: memorySource{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, want := range f.Anchors {
		list, err := s.Covering(1)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list, func(r anchor.Stored) bool { return r.Name == want.Name && r.Kind == want.Kind }) {
			t.Errorf("no receipt of %s in the restored home", want.Name)
		}
	}
}

// tamperedReceipt changes a byte in each receipt and each cosignature.
func tamperedReceipt(t *testing.T, n *testNet, f *proof.File, policy, roots string) {
	t.Helper()
	for i, x := range f.Anchors {
		bad := *f
		bad.Anchors = slices.Clone(f.Anchors)
		if len(x.Receipt) > 0 {
			r := bytes.Clone(x.Receipt)
			r[len(r)/2] ^= 1
			bad.Anchors[i].Receipt = r
		} else {
			note := bytes.Clone(x.Checkpoint) // the witness's line is the last
			at := len(note) - 12
			note[at] = map[bool]byte{true: 'A', false: 'B'}[note[at] != 'A']
			bad.Anchors[i].Checkpoint = note
		}
		text, err := bad.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "bad"+proofSuffix)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		n.exits(1, "verify", path, "--policy", policy, "--anchor-roots", roots)
		n.exits(0, "verify", path, "--policy", policy) // without roots no anchor is checked
	}
}

func parsed(t *testing.T, path string) *proof.File {
	t.Helper()
	f, err := readProof(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestResumeIsAskedForByAFile: an operator's request is a file in the home; a node that runs takes
// it up, and one that does not leaves it there.
func TestResumeIsAskedForByAFile(t *testing.T) {
	n := newTestNet(t)
	h := string(n.home(0))
	if got := n.exits(2, "anchor", "resume", "tsa", "--home", h); !strings.Contains(got, "no anchors") {
		t.Errorf("%s", got)
	}
	if err := os.MkdirAll(n.home(0).path("data/anchor"), 0o700); err != nil {
		t.Fatal(err)
	}
	n.exits(2, "anchor", "resume", "../x", "--home", h)
	n.exits(3, "anchor", "resume", "tsa", "--home", h, "--timeout", "200ms")
	if !exists(n.home(0).path("data/anchor-resume/tsa")) {
		t.Error("the request is not there")
	}
}
