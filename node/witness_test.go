package node

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/test/verifier2"
)

// witnessOf makes a home a witness of the logs whose keys are given, as
// docs/anchors.md says, and returns its vkey.
func witnessOf(t *testing.T, n *testNet, h home, name string, logs func(vkey string) []string) string {
	t.Helper()
	printed := n.exits(0, "key", "witness", name, "--home", string(h))
	vkey := regexp.MustCompile(regexp.QuoteMeta(name) + `\+\S+`).FindString(printed)
	writeFile(t, string(h), "witness-logs.txt", strings.Join(logs(vkey), "\n")+"\n")
	text := mustRead(t, h.path(configName))
	before, section, ok := strings.Cut(text, "[witness]\n")
	if !ok {
		t.Fatalf("no [witness] in\n%s", text)
	}
	section = strings.Replace(section, "key = ''", "key = 'keys/witness.pem'", 1)
	section = strings.Replace(section, "logs = ''", "logs = 'witness-logs.txt'", 1)
	if err := os.WriteFile(h.path(configName), []byte(before+"[witness]\n"+section), 0o600); err != nil {
		t.Fatal(err)
	}
	n.exits(0, "config", "check", "--home", string(h))
	return vkey
}

// TestWitnessOfAnotherConsortium: the court of one consortium cosigns the ledger of
// another, whose proofs then verify with its cosignature after all nodes are gone;
// and it tells when a member of that other consortium signs a second history.
func TestWitnessOfAnotherConsortium(t *testing.T) {
	of, by := newTestNet(t), newTestNet(t)
	vendor := len(of.state.Members) - 1
	h := of.home(vendor)
	var keys []string
	witnessOf(t, by, by.home(0), "court.example/witness", func(vkey string) []string {
		appendConfig(t, h, fmt.Sprintf("\n[anchor.court]\nkind = 'witness'\nevery = '1s'\nurl = '%s'\nkey = '%s'\n", by.url(0, "/witness"), vkey))
		printed := of.exits(0, "anchor", "roots", "--home", string(h))
		policy, err := loadPolicy(h.path(policyName))
		if err != nil {
			t.Fatal(err)
		}
		keys = regexp.MustCompile(regexp.QuoteMeta(checkpoint.Origin(policy.Chain))+`\+\S+`).FindAllString(printed, -1)
		if len(keys) != 3 {
			t.Fatalf("the log keys of three neutral members are to be registered: %s", printed)
		}
		return keys
	})
	for _, n := range []*testNet{of, by} {
		for i := range n.state.Members {
			n.start(i)
		}
	}
	for _, n := range []*testNet{of, by} {
		for i := range n.state.Members {
			poll(t, "every member is ready", func() bool { status, _ := get(t, n.url(i, "/readyz")); return status == 200 })
		}
	}
	if err := ensureKeys(t.Context(), h, of.url(vendor, "")); err != nil {
		t.Fatal(err)
	}
	content := writeFile(t, t.TempDir(), "contract.txt", "witnessed by another consortium\n")
	of.exits(0, "submit", content, "--home", string(h), "--anchored")
	metrics := func() families { return scraped(t, "http://"+by.scrape+"/metrics") }
	value := func(name string) float64 {
		v, ok := metrics().value(name)
		if !ok {
			t.Errorf("no %s", name)
		}
		return v
	}
	size := value("qifeng_witness_entries")
	if size < 3 || value("qifeng_witness_fork") != 0 || value("qifeng_witness_broken") != 0 || value("qifeng_witness_age_seconds") > 60 {
		t.Errorf("a witness of %v entries", size)
	}
	// A member whose log key is registered signs another root of the size that is held.
	key, err := gm.LoadPrivateKey(of.home(0).path(Default().Keys.Log))
	if err != nil {
		t.Fatal(err)
	}
	origin, _, _ := strings.Cut(keys[0], "+")
	poll(t, "the second history meets the first", func() bool {
		_, held := askWitness(t, by.url(0, "/witness/add-checkpoint"), origin, key, "1", "1")
		code, again := askWitness(t, by.url(0, "/witness/add-checkpoint"), origin, key, held, held)
		return code == http.StatusConflict && again == held
	})
	if value("qifeng_witness_fork") != 1 {
		t.Error("nobody is told of the fork")
	}
	for _, n := range []*testNet{of, by} {
		n.stop()
	}
	given := []string{"--policy", h.path(policyName), "--anchor-roots", h.path(Default().Anchors.Roots)}
	args := append([]string{content}, given...)
	verifier2.Agrees(t, 0, []byte(of.exits(0, append([]string{"verify", "--json"}, args...)...)), args...)
	if got := of.exits(0, append([]string{"verify"}, args...)...); !strings.Contains(got, "witness/court") || !strings.Contains(got, "SHA-256 half only") {
		t.Errorf("%s", got)
	}
	by.exits(0, "fsck", "--home", string(by.home(0)))
	// Both notes stand beside the state, and the key is in no backup.
	if notes, err := filepath.Glob(by.home(0).path("keys/witness.state.fork-*.note")); err != nil || len(notes) != 2 {
		t.Errorf("%v, %v", notes, err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	by.exits(0, "backup", "--home", string(by.home(0)), "--to", backup)
	if exists(filepath.Join(backup, "home/keys/witness.pem")) || exists(filepath.Join(backup, "keys/witness.pem")) {
		t.Error("the witness's key is in a backup")
	}
}

// askWitness hands a witness a checkpoint that a log's key signs, of a root that
// is no tree's.
func askWitness(t *testing.T, url, origin string, key *gm.PrivateKey, old, size string) (code int, said string) {
	t.Helper()
	v, err := note.NewVerifier(checkpoint.LogKey(origin, key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%s\n%s\n%s\n", origin, size, base64.StdEncoding.EncodeToString(make([]byte, 32)))
	sig, err := key.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	line := append(binary.BigEndian.AppendUint32(nil, v.KeyHash()), sig...)
	body := fmt.Sprintf("old %s\n\n%s\n— %s %s\n", old, text, origin, base64.StdEncoding.EncodeToString(line))
	resp, err := http.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(answer))
}
