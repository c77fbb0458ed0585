package witness

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"qifeng/internal/gm"
)

// c2spLog is a log of somebody else, made with golang.org/x/mod: it knows nothing of us.
type c2spLog struct {
	origin  string
	signers []note.Signer
	vkeys   []string
	hashes  tlog.HashReaderFunc
	stored  []tlog.Hash
	size    int64
}

func newLog(t testing.TB, origin string, keys, n int) *c2spLog {
	t.Helper()
	l := &c2spLog{origin: origin}
	l.hashes = func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, l.stored[i])
		}
		return out, nil
	}
	for range keys {
		skey, vkey, err := note.GenerateKey(rand.Reader, origin)
		if err != nil {
			t.Fatal(err)
		}
		s, err := note.NewSigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		l.signers, l.vkeys = append(l.signers, s), append(l.vkeys, vkey)
	}
	l.grow(t, n, "entry")
	return l
}

func (l *c2spLog) grow(t testing.TB, n int, what string) {
	t.Helper()
	for range n {
		hs, err := tlog.StoredHashes(l.size, fmt.Appendf(nil, "%s %d of %s", what, l.size, l.origin), l.hashes)
		if err != nil {
			t.Fatal(err)
		}
		l.stored = append(l.stored, hs...)
		l.size++
	}
}

// fork is the log with other entries from size n on, under the same keys.
func (l *c2spLog) fork(t testing.TB, n int) *c2spLog {
	t.Helper()
	f := newLog(t, l.origin, 0, 0)
	f.signers, f.vkeys = l.signers, l.vkeys
	f.grow(t, n, "entry")
	f.grow(t, int(l.size)-n, "another entry")
	return f
}

func (l *c2spLog) root(t testing.TB, size int64) tlog.Hash {
	t.Helper()
	if size == 0 {
		return emptyRoot
	}
	h, err := tlog.TreeHash(size, l.hashes)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (l *c2spLog) text(t testing.TB, size int64) string {
	t.Helper()
	return torchwood.Checkpoint{Origin: l.origin, Tree: tlog.Tree{N: size, Hash: l.root(t, size)}}.String()
}

func (l *c2spLog) proof(t testing.TB, old, size int64) string {
	t.Helper()
	if old == 0 || old >= size {
		return ""
	}
	p, err := tlog.ProveTree(size, old, l.hashes)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, h := range p {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	return b.String()
}

func signText(t testing.TB, text string, signers ...note.Signer) string {
	t.Helper()
	n, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return string(n)
}

// request is an honest one.
func (l *c2spLog) request(t testing.TB, old, size int64) string {
	t.Helper()
	return fmt.Sprintf("old %d\n%s\n%s", old, l.proof(t, old, size), signText(t, l.text(t, size), l.signers...))
}

func (l *c2spLog) logs(t testing.TB) []Log {
	t.Helper()
	logs, err := ParseLogs([]byte(strings.Join(l.vkeys, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return logs
}

// clock is a time that a test moves; requests are read by one server at a time.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// ownServer is a witness of the log, of a node of a consortium of its own.
func ownServer(t testing.TB, logs []Log, change ...func(*ServerConfig)) *Server {
	t.Helper()
	cfg := ServerConfig{Name: "court.example/witness", Key: newKey(t, gm.Ed25519), Logs: logs,
		Policy: newConsortium(t, 0).policy, State: filepath.Join(t.TempDir(), "witness.json")}
	for _, f := range change {
		f(&cfg)
	}
	if err := InitState(cfg.State); err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	unlimited(s)
	return s
}

// unlimited takes the rate off, which most tests would run into.
func unlimited(s *Server) {
	for _, l := range s.limits {
		l.SetLimit(1 << 20)
		l.SetBurst(1 << 20)
	}
}

// restart reads the state anew, as a new process would.
func restart(t testing.TB, s *Server) *Server {
	t.Helper()
	next, err := NewServer(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	unlimited(next)
	return next
}

func post(t testing.TB, url, body string) answer {
	t.Helper()
	resp, err := http.Post(url+"/add-checkpoint", "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, kind: resp.Header.Get("Content-Type"), body: b}
}

// ask calls the server as its HTTP handler is called.
func ask(t testing.TB, s *Server, body string) answer {
	t.Helper()
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/witness/add-checkpoint", strings.NewReader(body)))
	return answer{status: rec.Code, kind: rec.Header().Get("Content-Type"), body: rec.Body.Bytes()}
}

// cosigned says whether torchwood, which knows nothing of us, takes the answer for a
// cosignature of the text, and when it is dated.
func cosigned(t testing.TB, s *Server, text string, a answer) (at int64, ok bool) {
	t.Helper()
	v, err := torchwood.NewCosignatureVerifier(s.Witness().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(append([]byte(text+"\n"), a.body...), note.VerifierList(v))
	if err != nil {
		return 0, false
	}
	at, err = torchwood.CosignatureTimestamp(n.Sigs[0])
	return at, err == nil && len(n.Sigs) == 1
}

func mustCosign(t testing.TB, s *Server, l *c2spLog, old, size int64) {
	t.Helper()
	a := ask(t, s, l.request(t, old, size))
	if a.status != http.StatusOK {
		t.Fatalf("from %d to %d: %d %s", old, size, a.status, a.said())
	}
	if _, ok := cosigned(t, s, l.text(t, size), a); !ok {
		t.Fatalf("from %d to %d: torchwood does not take %q", old, size, a.body)
	}
}
