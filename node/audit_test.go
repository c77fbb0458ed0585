package node

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/api"
)

func openTestAudit(t *testing.T, path string) (*auditLog, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	a, err := openAudit(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.close() })
	return a, &log
}

func lookup(subject string) api.Lookup {
	return api.Lookup{Time: time.Unix(1795248000, 0), Request: "0123456789abcdef", Member: "court-a", Key: "desk-1",
		Kind: api.DigestLookup, Subject: subject, Results: 2}
}

// TestAuditLog: lines are chained over restarts, and half a line of a crash is
// cut off.
func TestAuditLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), auditName)
	a, _ := openTestAudit(t, path)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", fi, err)
	}
	for _, s := range []string{"sm3:aa", "sm3:bb"} {
		if err := a.Audit(lookup(s)); err != nil {
			t.Fatal(err)
		}
	}
	head := a.prev
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Audit(lookup("late")); err == nil {
		t.Error("a closed log took a line")
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(whole), "\n")
	want := `{"seq":1,"time":"2026-11-21T08:00:00.000Z","member":"court-a","key":"desk-1","lookup":"digest","subject":"sm3:aa","results":2,"request_id":"0123456789abcdef","prev":"` +
		strings.Repeat("0", 64) + `"}`
	if first != want {
		t.Errorf("line\n%s\nwant\n%s", first, want)
	}
	if err := os.WriteFile(path, append(whole, `{"seq":3,"ti`...), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ = openTestAudit(t, path)
	if a.seq != 2 || a.prev != head {
		t.Errorf("after the crash: line %d", a.seq)
	}
	if err := a.Audit(lookup("sm3:cc")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(b, whole) || bytes.Count(b, []byte("\n")) != 3 {
		t.Errorf("%s, %v", b, err)
	}
}

// TestAuditLogTampered: a line that was changed, taken out or put in shows at
// the next start, and no look-up is answered over it.
func TestAuditLogTampered(t *testing.T) {
	path := filepath.Join(t.TempDir(), auditName)
	a, _ := openTestAudit(t, path)
	for _, s := range []string{"sm3:aa", "sm3:bb", "sm3:cc"} {
		if err := a.Audit(lookup(s)); err != nil {
			t.Fatal(err)
		}
	}
	a.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for name, text := range map[string]string{
		"changed":     strings.Replace(string(whole), "sm3:bb", "sm3:bc", 1),
		"first gone":  lines[1] + lines[2],
		"middle gone": lines[0] + lines[2],
		"twice":       lines[0] + lines[1] + lines[1] + lines[2],
		"order":       lines[1] + lines[0] + lines[2],
		"no JSON":     lines[0] + "hello\n" + lines[1],
		"long":        lines[0] + strings.Repeat("x", maxAuditLine+1) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), auditName)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a, log := openTestAudit(t, path)
			if err := a.Audit(lookup("sm3:dd")); err == nil {
				t.Error("a look-up was written behind it")
			}
			if !strings.Contains(log.String(), "ALARM") {
				t.Errorf("no alarm: %s", log)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

// TestAuditLogFails: what cannot be written is no line.
func TestAuditLogFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), auditName)
	a, _ := openTestAudit(t, path)
	if err := a.Audit(lookup("sm3:aa")); err != nil {
		t.Fatal(err)
	}
	whole := a.f
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	a.f = readOnly
	if err := a.Audit(lookup("sm3:bb")); err == nil {
		t.Error("a line was written to a file that cannot be written")
	}
	a.f = whole
	if err := a.Audit(lookup("sm3:cc")); err == nil {
		t.Error("the log goes on after a failure that could not be taken back")
	}
	if a.seq != 1 {
		t.Errorf("line %d", a.seq)
	}
}

func TestOrigins(t *testing.T) {
	for _, tc := range []struct {
		name, listen, card string
		tls                bool
		set, want          []string
	}{
		{"loopback", "127.0.0.1:8100", "", false, nil, []string{"http://127.0.0.1:8100", "http://localhost:8100"}},
		{"localhost", "localhost:8100", "", false, nil, []string{"http://localhost:8100"}},
		{"IPv6", "[::1]:8100", "", false, nil, []string{"http://[::1]:8100", "http://localhost:8100"}},
		{"every address", "0.0.0.0:8100", "", true, nil, []string{"https://127.0.0.1:8100", "https://localhost:8100"}},
		{"a card", "10.0.0.7:8100", "https://court.example/api/", true, nil, []string{"https://10.0.0.7:8100", "https://court.example"}},
		{"the card says the same", "127.0.0.1:8100", "http://127.0.0.1:8100", false, nil, []string{"http://127.0.0.1:8100", "http://localhost:8100"}},
		{"a strange card", "127.0.0.1:8100", "ftp://x", false, nil, []string{"http://127.0.0.1:8100", "http://localhost:8100"}},
		{"set", "127.0.0.1:8100", "https://court.example", false, []string{"https://a.example"}, []string{"https://a.example"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := APIConfig{Listen: tc.listen, Origins: tc.set}
			if tc.tls {
				c.TLSCert, c.TLSKey = "c", "k"
			}
			if got := origins(&c, tc.card); strings.Join(got, " ") != strings.Join(tc.want, " ") {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
