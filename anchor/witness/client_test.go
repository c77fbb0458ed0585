package witness

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	lite "qifeng/test/witness"
)

func newClient(t testing.TB, c *consortium, url string, w checkpoint.Witness) *Client {
	t.Helper()
	a, err := New(Config{URL: url, Witness: w, Policy: c.policy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// mustPut has a checkpoint cosigned and checks the receipt as a court would.
func mustPut(t testing.TB, a *Client, c *consortium, cp anchor.Checkpoint) int64 {
	t.Helper()
	r, err := a.Put(t.Context(), cp, c)
	if err != nil {
		t.Fatalf("putting size %d: %v", cp.Size, err)
	}
	if !bytes.HasPrefix(r.Note, cp.Note) || bytes.Count(r.Note[len(cp.Note):], []byte("\n")) != 1 || len(r.Data) != 0 {
		t.Errorf("the receipt is not the note with one line added:\n%s", r.Note)
	}
	at, err := checkpoint.Witnessed(r.Note, a.cfg.Witness)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := checkpoint.Open(r.Note, c.policy, checkpoint.Options{}); err != nil || !s.Met {
		t.Errorf("the receipt's note is not sealed: %v", err)
	}
	return at
}

// TestLitewitness: a stock witness that knows nothing of us cosigns what it is
// asked to, and holds what it should.
func TestLitewitness(t *testing.T) {
	c := newConsortium(t, 40)
	w := lite.Start(t, "witness.example/lite", c.logKeys()...)
	a := newClient(t, c, w.URL, w.Key)
	holds := func(size int) {
		t.Helper()
		got, root := w.State(t, c.origin())
		if got != uint64(size) || size > 0 && root != c.at(t, size).Root.SHA256 {
			t.Errorf("the witness holds size %d root %x, want size %d", got, root, size)
		}
	}
	before := time.Now().Unix()
	for _, size := range []int{1, 2, 3, 7, 8, 9, 9, 31} {
		if at := mustPut(t, a, c, c.at(t, size)); at < before || at > time.Now().Unix() {
			t.Errorf("cosigned at %d", at)
		}
		holds(size)
	}
	// One that has forgotten, or another member's: the 409 tells it where to begin.
	fresh := newClient(t, c, w.URL, w.Key)
	mustPut(t, fresh, c, c.at(t, 31))
	mustPut(t, fresh, c, c.at(t, 33))
	mustPut(t, a, c, c.at(t, 35)) // which still thinks that it is 31
	holds(35)
	// A smaller one is late, and nothing happens.
	var ahead *Ahead
	for range 2 {
		if _, err := fresh.Put(t.Context(), c.at(t, 34), c); !errors.As(err, &ahead) || *ahead != (Ahead{Holds: 35, Size: 34}) {
			t.Errorf("a smaller one: %v", err)
		}
	}
	if errors.Is(ahead, anchor.ErrRefused) {
		t.Error("being late is no refusal")
	}
	holds(35)
	// Killed and started again, it goes on from its database.
	w.Stop()
	if _, err := a.Put(t.Context(), c.at(t, 36), c); err == nil || errors.Is(err, anchor.ErrRefused) || errors.As(err, new(*anchor.Conflict)) {
		t.Errorf("with the witness down: %v", err)
	}
	w.Run(t)
	mustPut(t, a, c, c.at(t, 36))
	holds(36)
	// Put back from a backup: it says so, and is brought up again.
	w.SetState(t, c.origin(), 8, c.at(t, 8).Root.SHA256)
	mustPut(t, a, c, c.at(t, 40))
	holds(40)
}

// TestLitewitnessConflict: whatever the witness holds that excludes our ledger is a
// conflict with both statements, and the witness stays as it is.
func TestLitewitnessConflict(t *testing.T) {
	c := newConsortium(t, 20)
	other := c.fork(5)
	for _, tt := range []struct {
		name      string
		held, put int
	}{
		{"the same size", 12, 12},
		{"a larger size", 12, 17},
		{"a power of two", 8, 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := lite.Start(t, "witness.example/lite", c.logKeys()...)
			mustPut(t, newClient(t, other, w.URL, w.Key), other, other.at(t, tt.held))
			for range 2 {
				cp := c.at(t, tt.put)
				var conflict *anchor.Conflict
				_, err := newClient(t, c, w.URL, w.Key).Put(t.Context(), cp, c)
				if !errors.As(err, &conflict) {
					t.Fatalf("no conflict: %v", err)
				}
				if conflict.Size != cp.Size || !bytes.Equal(conflict.Ours, cp.Note) || !bytes.HasPrefix(conflict.Theirs, []byte("HTTP 4")) {
					t.Errorf("the conflict keeps %+v", conflict)
				}
			}
			if size, root := w.State(t, c.origin()); size != uint64(tt.held) || root != other.at(t, tt.held).Root.SHA256 {
				t.Errorf("the witness now holds size %d root %x", size, root)
			}
		})
	}
}

func TestLitewitnessUnregistered(t *testing.T) {
	c, stranger := newConsortium(t, 3), newConsortium(t, 3)
	stranger.policy.Chain = c.policy.Chain // the same origin under other keys
	w := lite.Start(t, "witness.example/lite")
	for _, status := range []int{http.StatusNotFound, http.StatusForbidden} {
		var u *Unregistered
		_, err := newClient(t, c, w.URL, w.Key).Put(t.Context(), c.at(t, 3), c)
		if !errors.As(err, &u) || u.Status != status || u.Origin != c.origin() || len(u.Keys) != 3 || !errors.Is(err, anchor.ErrRefused) {
			t.Fatalf("unregistered: %v", err)
		}
		if !strings.Contains(err.Error(), strings.Join(c.logKeys(), " ")) {
			t.Errorf("the error does not say what to register: %v", err)
		}
		if status == http.StatusForbidden {
			for _, k := range u.Keys { // what the error says helps
				w.AddLog(t, k)
			}
			break
		}
		w.AddLog(t, stranger.logKeys()[0])
	}
	mustPut(t, newClient(t, c, w.URL, w.Key), c, c.at(t, 3))
	// The vendor's key alone opens nothing.
	cp := c.at(t, 3)
	if bytes.Count(mustRequest(t, c, cp), []byte(c.origin())) != 1+3 {
		t.Errorf("not the three neutral members' lines are sent:\n%s", mustRequest(t, c, cp))
	}
}

func mustRequest(t testing.TB, c *consortium, cp anchor.Checkpoint) []byte {
	t.Helper()
	note, err := checkpoint.WitnessNote(cp.Note, c.policy)
	if err != nil {
		t.Fatal(err)
	}
	b, err := request(0, cp, note, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAnswers: what a witness may answer, honest or not.
func TestAnswers(t *testing.T) {
	c := newConsortium(t, 20)
	cp := c.at(t, 12)
	body := checkpoint.Checkpoint{Origin: c.origin(), Size: 12, Root: cp.Root}.Body()
	key, other := newKey(t, gm.Ed25519), newKey(t, gm.Ed25519)
	w := checkpoint.Witness{Name: "witness.example/w", Key: key.Public()}
	second := checkpoint.Witness{Name: "witness.example/w2", Key: other.Public()}
	sign := func(w checkpoint.Witness, key gm.Signer, body []byte) string {
		line, err := w.Cosign(key, 1000, body)
		if err != nil {
			t.Fatal(err)
		}
		return string(line)
	}
	line, foreign := sign(w, key, body), sign(second, other, body)
	elsewhere := sign(w, key, checkpoint.Checkpoint{Origin: c.origin(), Size: 13, Root: cp.Root}.Body())
	const size = sizeType
	type step struct {
		status int
		kind   string
		body   string
	}
	const ( // what is expected
		receipt  = "receipt"
		conflict = "conflict"
		refused  = "refused"
		again    = "again"
		late     = "late"
	)
	for _, tt := range []struct {
		name  string
		want  string
		steps []step // the last is repeated
		turns int
	}{
		{"cosigned", receipt, []step{{200, "", line}}, 1},
		{"cosigned by two keys", receipt, []step{{200, "text/plain", foreign + line}}, 1},
		{"after a 409", receipt, []step{{409, size, "5\n"}, {200, "", line}}, 2},
		{"after a 409 with a charset", receipt, []step{{409, size + "; charset=utf-8", "5\n"}, {200, "", line}}, 2},
		{"after a 409 at our size", receipt, []step{{409, size, "12\n"}, {200, "", line}}, 2},
		{"after two 409", receipt, []step{{409, size, "5\n"}, {409, size, "7\n"}, {200, "", line}}, 3},
		{"moving on and on", again, []step{{409, size, "5\n"}, {409, size, "6\n"}, {409, size, "7\n"}, {409, size, "8\n"}, {200, "", line}}, 4},
		{"put back from a backup meanwhile", receipt, []step{{409, size, "12\n"}, {409, size, "5\n"}, {200, "", line}}, 3},
		{"beyond us", late, []step{{409, size, "13\n"}}, 1},
		{"beyond us at last", late, []step{{409, size, "12\n"}, {409, size, "13\n"}}, 2},
		{"another root", conflict, []step{{409, size, "12\n"}, {409, size, "12\n"}}, 2},
		{"another root, no size", conflict, []step{{409, size, "12\n"}, {409, "", ""}}, 2},
		{"proof refused", conflict, []step{{409, size, "5\n"}, {422, "text/plain", "no"}}, 2},
		{"proof refused where there is none", refused, []step{{422, "text/plain", "no"}}, 1},
		{"409 without a size", again, []step{{409, "text/plain", "5\n"}}, 1},
		{"409 with an odd size", again, []step{{409, size, "05\n"}}, 1},
		{"409 with a size unended", again, []step{{409, size, "5"}}, 1},
		{"409 with a negative size", again, []step{{409, size, "-5\n"}}, 1},
		{"409 with a huge size", again, []step{{409, size, "9223372036854775808\n"}}, 1},
		{"409 at the size asked for", again, []step{{409, size, "0\n"}}, 1},
		{"409 at the size asked for later", again, []step{{409, size, "5\n"}, {409, size, "5\n"}}, 2},
		{"another key", refused, []step{{200, "", foreign}}, 1},
		{"nothing", refused, []step{{200, "", ""}}, 1},
		{"a page", again, []step{{200, "text/html", "<html>\n"}}, 1},
		{"another checkpoint", again, []step{{200, "", elsewhere}}, 1},
		{"two lines of one key", again, []step{{200, "", line + sign(w, key, body)}}, 1},
		{"an unended line", again, []step{{200, "", strings.TrimSuffix(line, "\n")}}, 1},
		{"blank lines", again, []step{{200, "", line + "\n"}}, 1},
		{"too much", again, []step{{200, "", strings.Repeat(foreign, 1+maxAnswer/len(foreign))}}, 1},
		{"400", refused, []step{{400, "", "what"}}, 1},
		{"401", refused, []step{{401, "", ""}}, 1},
		{"403", refused, []step{{403, "", "key"}}, 1},
		{"404", refused, []step{{404, "", "log"}}, 1},
		{"408", again, []step{{408, "", ""}}, 1},
		{"429", again, []step{{429, "", "slowly"}}, 1},
		{"a redirect", refused, []step{{307, "", ""}}, 1},
		{"500", again, []step{{500, "", "\x1b[31mboom"}}, 1},
		{"503", again, []step{{503, "", ""}}, 1},
		{"another 2xx", again, []step{{202, "", line}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			turns := 0
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/prefix/add-checkpoint" {
					t.Errorf("asked by %s %s", r.Method, r.URL)
				}
				s := tt.steps[min(turns, len(tt.steps)-1)]
				turns++
				if s.kind != "" {
					rw.Header().Set("Content-Type", s.kind)
				}
				if s.status == 307 {
					rw.Header().Set("Location", "/elsewhere")
				}
				rw.WriteHeader(s.status)
				_, _ = io.WriteString(rw, s.body)
			}))
			defer srv.Close()
			a := newClient(t, c, srv.URL+"/prefix/", w)
			r, err := a.Put(t.Context(), cp, c)
			got := again
			var held *anchor.Conflict
			switch {
			case err == nil:
				got = receipt
			case errors.As(err, &held):
				got = conflict
			case errors.Is(err, anchor.ErrRefused):
				got = refused
			case errors.As(err, new(*Ahead)):
				got = late
			}
			if got != tt.want || turns != tt.turns {
				t.Errorf("%s after %d turns, want %s after %d: %v", got, turns, tt.want, tt.turns, err)
			}
			if err == nil && string(r.Note) != string(cp.Note)+line {
				t.Errorf("the receipt:\n%s", r.Note)
			}
			if held != nil && (!bytes.Equal(held.Ours, cp.Note) || len(held.Theirs) == 0) {
				t.Errorf("the conflict keeps %+v", held)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the error carries the witness's control characters: %q", err)
			}
		})
	}
}

// TestPutRefusesForeignNotes: nothing is sent that is not a sealed checkpoint of ours.
func TestPutRefusesForeignNotes(t *testing.T) {
	c, d := newConsortium(t, 9), newConsortium(t, 9)
	d.policy.Chain = "other-00000000"
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("something is sent") }))
	defer srv.Close()
	a := newClient(t, c, srv.URL, checkpoint.Witness{Name: "w", Key: newKey(t, gm.Ed25519).Public()})
	cp := c.at(t, 7)
	other := cp
	other.Size = 8
	root := cp
	root.Root = c.at(t, 8).Root
	lines := strings.SplitAfter(string(cp.Note), "\n")
	unsealed := cp
	unsealed.Note = []byte(strings.Join(lines[:len(lines)-5], "")) // the court's and the arbitrators' seals are left
	for name, cp := range map[string]anchor.Checkpoint{
		"another chain": d.at(t, 7), "another size": other, "another root": root, "not sealed": unsealed, "nothing": {},
	} {
		if _, err := a.Put(t.Context(), cp, c); err == nil || errors.As(err, new(*anchor.Conflict)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPutEnds: an attempt ends with its context, whatever the witness does, and the
// next finds it well.
func TestPutEnds(t *testing.T) {
	c := newConsortium(t, 9)
	w := lite.Start(t, "witness.example/lite", c.logKeys()...)
	var hang atomic.Bool
	released := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		resp, err := http.Post(w.URL+r.URL.Path, "", bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if hang.Load() { // it has cosigned, and the answer is lost
			<-released
			panic(http.ErrAbortHandler)
		}
		rw.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		rw.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(rw, resp.Body)
	}))
	defer front.Close()
	defer close(released)
	a := newClient(t, c, front.URL, w.Key)
	mustPut(t, a, c, c.at(t, 3))
	hang.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := a.Put(ctx, c.at(t, 7), c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a witness that hangs: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	hang.Store(false)
	mustPut(t, a, c, c.at(t, 7)) // the witness holds it already
	mustPut(t, a, c, c.at(t, 9))
}

// TestReset: a connection cut in the middle is tried again, and is no conflict.
func TestReset(t *testing.T) {
	c := newConsortium(t, 9)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		rw.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(rw, "— half a li")
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	a := newClient(t, c, srv.URL, checkpoint.Witness{Name: "w", Key: newKey(t, gm.Ed25519).Public()})
	if _, err := a.Put(t.Context(), c.at(t, 7), c); err == nil || errors.Is(err, anchor.ErrRefused) || errors.As(err, new(*anchor.Conflict)) {
		t.Errorf("a reset: %v", err)
	}
}

func TestHTTPS(t *testing.T) {
	c := newConsortium(t, 9)
	key := newKey(t, gm.Ed25519)
	w := checkpoint.Witness{Name: "w", Key: key.Public()}
	cp := c.at(t, 7)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		line, err := w.Cosign(key, 1, checkpoint.Checkpoint{Origin: c.origin(), Size: 7, Root: cp.Root}.Body())
		if err != nil {
			t.Error(err)
		}
		_, _ = rw.Write(line)
	}))
	defer srv.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for _, trusted := range []bool{false, true} {
		cfg := Config{URL: srv.URL, Witness: w, Policy: c.policy}
		if trusted {
			cfg.CA = ca
		}
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Put(t.Context(), cp, c); (err == nil) != trusted {
			t.Errorf("with the CA trusted: %v: %v", trusted, err)
		}
		_ = a.Close()
	}
}

func TestNewRefuses(t *testing.T) {
	c := newConsortium(t, 1)
	w := checkpoint.Witness{Name: "w", Key: newKey(t, gm.Ed25519).Public()}
	ok := Config{URL: "https://witness.example/w", Witness: w, Policy: c.policy}
	for name, f := range map[string]func(*Config){
		"no policy":       func(c *Config) { c.Policy = nil },
		"no witness":      func(c *Config) { c.Witness = checkpoint.Witness{} },
		"no name":         func(c *Config) { c.Witness.Name = "" },
		"a member":        func(f *Config) { f.Witness.Key = c.keys["court-a"].Ed25519.Public() },
		"no address":      func(c *Config) { c.URL = "" },
		"another scheme":  func(c *Config) { c.URL = "ftp://witness.example" },
		"no host":         func(c *Config) { c.URL = "https:///w" },
		"a password":      func(c *Config) { c.URL = "https://u:p@witness.example/w" },
		"a query":         func(c *Config) { c.URL += "?a" },
		"the whole path":  func(c *Config) { c.URL += "/add-checkpoint/" },
		"no certificates": func(c *Config) { c.CA = []byte("none") },
	} {
		cfg := ok
		f(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(ok); err != nil {
		t.Error(err)
	}
}

func TestRequestForm(t *testing.T) {
	c := newConsortium(t, 9)
	cp := c.at(t, 9)
	note := []byte("note")
	for _, old := range []uint64{0, 1, 6, 8, 9} {
		b, err := request(old, cp, note, c)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(b), "\n")
		want := map[uint64]int{0: 0, 1: 4, 6: 4, 8: 1, 9: 0}[old]
		if lines[0] != fmt.Sprint("old ", old) || len(lines) != want+3 || lines[want+1] != "" || lines[want+2] != "note" {
			t.Errorf("from %d: %q", old, b)
		}
	}
}

// FuzzTake: whatever a witness answers, a receipt is our note with one line that
// verifies, and nothing else.
func FuzzTake(f *testing.F) {
	c := newConsortium(f, 9)
	cp := c.at(f, 7)
	key, other := newKey(f, gm.Ed25519), newKey(f, gm.Ed25519)
	w := checkpoint.Witness{Name: "witness.example/w", Key: key.Public()}
	body := checkpoint.Checkpoint{Origin: c.origin(), Size: 7, Root: cp.Root}.Body()
	line, err := w.Cosign(key, 1000, body)
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := checkpoint.Witness{Name: "w2", Key: other.Public()}.Cosign(other, 1000, body)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(append(foreign, line...))
	f.Add([]byte("12\n"))
	a := newClient(f, c, "http://witness.example", w)
	f.Fuzz(func(t *testing.T, answered []byte) {
		full, err := a.take(answered, cp.Note)
		if err == nil && string(full) != string(cp.Note)+string(line) {
			t.Errorf("the receipt:\n%s", full)
		}
		if n, ok := (answer{kind: sizeType, body: answered}).size(); ok && fmt.Sprintf("%d\n", n) != string(answered) {
			t.Errorf("%q is the size %d", answered, n)
		}
	})
}
