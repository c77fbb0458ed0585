package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"qifeng/anchor"
	lite "qifeng/test/witness"
)

// TestServerAnswers: the answers that c2sp.org/tlog-witness states, in its order.
func TestServerAnswers(t *testing.T) {
	l := newLog(t, "log.example/a", 2, 20)
	stranger, twin := newLog(t, "log.example/b", 1, 20), newLog(t, "log.example/a", 1, 20)
	other := l.fork(t, 5)
	ok := func(old, size int64) string { return l.request(t, old, size) }
	text := l.text(t, 12)
	signed := func(text string) string { return signText(t, text, l.signers...) }
	proof := l.proof(t, 7, 12)
	with := func(proof, note string) string { return "old 7\n" + proof + "\n" + note }
	lines := strings.SplitAfter(proof, "\n")
	_, otherLines, _ := strings.Cut(signed(l.text(t, 11)), "\n\n")
	falseLine := text + "\n" + otherLines
	for _, tt := range []struct {
		name   string
		body   string
		status int
		answer string // for a 409
	}{
		{"growing", ok(7, 12), 200, ""},
		{"the same again", ok(7, 7), 200, ""},
		{"by one key of two", with(proof, signText(t, text, l.signers[1])), 200, ""},
		{"beside an unknown key", with(proof, signText(t, text, l.signers[0], stranger.signers[0])), 200, ""},
		{"with an extension line", with(proof, signed(text+"more\n")), 200, ""},

		{"unknown log", stranger.request(t, 0, 3), 404, ""},
		{"unknown key", twin.request(t, 7, 12), 403, ""},
		{"a false line of a known key", with(proof, falseLine), 403, ""},
		{"a log's line for another name", with(proof, strings.ReplaceAll(signed(text), "— log.example/a", "— log.example/b")), 403, ""},

		{"old beyond the checkpoint", "old 13\n\n" + signed(text), 400, ""},
		{"old too small", ok(3, 12), 409, "7\n"},
		{"old zero", ok(0, 12), 409, "7\n"},
		{"old too large", ok(8, 12), 409, "7\n"},
		{"smaller than held", ok(3, 5), 409, "7\n"},
		{"another root of the size held", other.request(t, 7, 7), 409, "7\n"},
		{"a fork", other.request(t, 7, 12), 422, ""},
		{"no proof", with("", signed(text)), 422, ""},
		{"a proof too short", with(strings.Join(lines[1:], ""), signed(text)), 422, ""},
		{"a proof too long", with(proof+lines[0], signed(text)), 422, ""},
		{"a proof for the same size", "old 7\n" + lines[0] + "\n" + signed(l.text(t, 7)), 422, ""},

		{"nothing", "", 400, ""},
		{"a long line", "old 7\n" + strings.Repeat("x", 5000) + "\n\n" + signed(text), 400, ""},
		{"no old size", "\n" + signed(text), 400, ""},
		{"old size without a number", "old \n\n" + signed(text), 400, ""},
		{"old size with a zero", "old 07\n\n" + signed(text), 400, ""},
		{"negative old size", "old -7\n\n" + signed(text), 400, ""},
		{"huge old size", "old 9223372036854775808\n\n" + signed(text), 400, ""},
		{"a line end of DOS", "old 7\r\n" + proof + "\n" + signed(text), 400, ""},
		{"a proof line that is no base64", with("hash\n"+proof, signed(text)), 400, ""},
		{"a proof line of 31 bytes", with("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n", signed(text)), 400, ""},
		{"base64 in another spelling", with(strings.Replace(proof, "=", "", 1), signed(text)), 400, ""},
		{"64 proof lines", with(strings.Repeat(lines[0], 64), signed(text)), 400, ""},
		{"63 proof lines", with(strings.Repeat(lines[0], 63), signed(text)), 422, ""},
		{"no note", "old 7\n\n", 400, ""},
		{"an origin alone", "old 7\n\nlog.example/a\n", 400, ""},
		{"a note without a line", with(proof, text+"\n"), 400, ""},
		{"a note that is no checkpoint", with(proof, signed("log.example/a\ntext\n")), 400, ""},
		{"a size with a zero", with(proof, signed(strings.Replace(text, "\n12\n", "\n012\n", 1))), 400, ""},
		{"a size beyond all logs", with(proof, signed(strings.Replace(text, "\n12\n", "\n9007199254740992\n", 1))), 400, ""},
		{"a root that is none", with(proof, signed("log.example/a\n12\nroot\n")), 400, ""},
		{"an empty line in the text", with(proof, signed(text+"\nmore\n")), 400, ""},
		{"a text too long", with(proof, signed(text+strings.Repeat("x", maxText)+"\n")), 413, ""},
		{"too long", ok(7, 12) + strings.Repeat(" ", maxRequest), 413, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ownServer(t, l.logs(t))
			mustCosign(t, s, l, 0, 7)
			before := fileBytes(t, s.cfg.State)
			srv := httptest.NewServer(s)
			defer srv.Close()
			a := post(t, srv.URL+"/any/prefix", tt.body)
			if a.status != tt.status {
				t.Fatalf("%d %s, want %d", a.status, a.said(), tt.status)
			}
			if len(a.body) > maxSaid+1 {
				t.Errorf("it answers with %d bytes", len(a.body))
			}
			if tt.status == 409 {
				if a.kind != sizeType || string(a.body) != tt.answer {
					t.Errorf("%s %q", a.kind, a.body)
				}
			}
			if tt.status != 200 {
				if !bytes.Equal(fileBytes(t, s.cfg.State), before) {
					t.Error("the state has changed")
				}
				return
			}
			_, rest, _ := strings.Cut(tt.body, "\n\n")
			text, _, _ := strings.Cut(rest, "\n\n")
			if _, ok := cosigned(t, s, text+"\n", a); !ok {
				t.Errorf("torchwood does not take %q", a.body)
			}
		})
	}
}

func fileBytes(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestServerMethod(t *testing.T) {
	s := ownServer(t, newLog(t, "log.example/a", 1, 0).logs(t))
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(method, "/add-checkpoint", nil))
		if rec.Code != 405 || rec.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d", method, rec.Code)
		}
	}
}

// TestServerFromNothing: the first checkpoint, also that of an empty log.
func TestServerFromNothing(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 9)
	s := ownServer(t, l.logs(t))
	if a := ask(t, s, "old 0\n\n"+signText(t, strings.Replace(l.text(t, 3), "\n3\n", "\n0\n", 1), l.signers...)); a.status != 409 || string(a.body) != "0\n" {
		t.Errorf("a false empty root: %d %s", a.status, a.said())
	}
	if a := ask(t, s, "old 0\n"+l.proof(t, 2, 3)+"\n"+signText(t, l.text(t, 3), l.signers...)); a.status != 422 {
		t.Errorf("a proof from nothing: %d %s", a.status, a.said())
	}
	for _, step := range [][2]int64{{0, 0}, {0, 0}, {0, 1}, {1, 1}, {1, 8}, {8, 9}} {
		mustCosign(t, s, l, step[0], step[1])
		s = restart(t, s)
	}
	if st := s.Status(); len(st) != 1 || st[0].Origin != l.origin || st[0].Size != 9 || time.Since(st[0].Time) > time.Hour {
		t.Errorf("status %+v", st)
	}
}

// TestServerAgreesWithLitewitness sends the same requests, honest and not, to
// litewitness and to our server, and compares answers and states all the way.
func TestServerAgreesWithLitewitness(t *testing.T) {
	l := newLog(t, "log.example/a", 2, 64)
	other, twin := l.fork(t, 20), newLog(t, "log.example/a", 1, 64)
	stranger := newLog(t, "log.example/b", 1, 64)
	w := lite.Start(t, "witness.example/lite", l.vkeys...)
	s := ownServer(t, l.logs(t))
	rnd := rand.New(rand.NewPCG(1, 2))
	held := int64(0)
	seen := map[int]int{}
	for i := range 250 {
		from := []*c2spLog{l, l, l, l, other, twin, stranger}[rnd.IntN(7)]
		size := min(held+rnd.Int64N(4), 64)
		old := held
		if rnd.IntN(4) == 0 {
			old = rnd.Int64N(66)
		}
		body := from.request(t, old, size)
		switch rnd.IntN(12) {
		case 0: // a hash of the proof is another
			body = strings.Replace(body, "\n", "\n"+strings.Repeat("A", 43)+"=\n", 1)
			if old == 0 {
				continue // litewitness does not look at a proof from nothing
			}
		case 1:
			body = strings.Replace(body, "old ", "old 0", 1)
			if old == 0 {
				continue // 00 is a number for litewitness
			}
			body = strings.Replace(body, "old 0", "old -", 1)
		}
		want, got := post(t, w.URL, body), ask(t, s, body)
		seen[want.status]++
		sameSize := want.status == 422 && old == size // the specification says 409 for another root
		if want.status != got.status && !(sameSize && got.status == 409) {
			t.Fatalf("request %d: litewitness %d %s, ours %d %s\n%s", i, want.status, want.said(), got.status, got.said(), body)
		}
		if want.status == 409 && !bytes.Equal(want.body, got.body) {
			t.Errorf("request %d: litewitness holds %s, ours %s", i, want.said(), got.said())
		}
		if want.status == 200 {
			held = size
		}
		if size, root := w.State(t, l.origin); i%20 == 0 && (size != s.state[l.origin].size || size > 0 && root != s.state[l.origin].root) {
			t.Fatalf("request %d: litewitness holds %d, ours %d", i, size, s.state[l.origin].size)
		}
	}
	for _, status := range []int{200, 400, 403, 404, 409, 422} {
		if seen[status] < 3 {
			t.Errorf("only %d answers %d: the test tests little: %v", seen[status], status, seen)
		}
	}
}

// TestOwnClientAndServer: another consortium has this node cosign its chain.
func TestOwnClientAndServer(t *testing.T) {
	c := newConsortium(t, 30)
	logs, err := ParseLogs([]byte("# the other consortium\n\n" + strings.Join(c.logKeys(), "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := ownServer(t, logs)
	srv := httptest.NewServer(s)
	defer srv.Close()
	a := newClient(t, c, srv.URL+"/witness", s.Witness())
	for _, size := range []int{1, 6, 6, 8, 30} {
		mustPut(t, a, c, c.at(t, size))
	}
	fresh := newClient(t, c, srv.URL, s.Witness())
	mustPut(t, fresh, c, c.at(t, 30))
	var ahead *Ahead
	if _, err := fresh.Put(t.Context(), c.at(t, 29), c); !errors.As(err, &ahead) {
		t.Errorf("a smaller one: %v", err)
	}
	other := c.fork(10)
	other.grow(5)
	for _, size := range []int{30, 35} {
		var conflict *anchor.Conflict
		if _, err := newClient(t, other, srv.URL, s.Witness()).Put(t.Context(), other.at(t, size), other); !errors.As(err, &conflict) {
			t.Errorf("a fork of size %d: %v", size, err)
		}
	}
	// The fork of the same size is kept, provable with stock tools.
	var verifiers []note.Verifier
	for _, k := range c.logKeys() {
		v, err := note.NewVerifier(k)
		if err != nil {
			t.Fatal(err)
		}
		verifiers = append(verifiers, v)
	}
	held, seen := ForkFiles(s.cfg.State, c.origin())
	if st := s.Status(); len(st) != 1 || !st[0].Forked || st[0].Size != 30 {
		t.Errorf("the status is %+v", st)
	}
	var texts []string
	for _, path := range []string{held, seen} {
		n, err := note.Open(fileBytes(t, path), note.VerifierList(verifiers...))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		texts = append(texts, n.Text)
	}
	one, err1 := parseHead(texts[0])
	two, err2 := parseHead(texts[1])
	if err1 != nil || err2 != nil || one.size != two.size || one.root == two.root || one.root != c.at(t, 30).Root.SHA256 {
		t.Errorf("the proof of the fork:\n%s\n%s", texts[0], texts[1])
	}
	// The first proof stays, whatever comes.
	before := fileBytes(t, seen)
	third := c.fork(3)
	if _, err := newClient(t, third, srv.URL, s.Witness()).Put(t.Context(), third.at(t, 30), third); err == nil {
		t.Error("a third ledger is cosigned")
	}
	if !bytes.Equal(fileBytes(t, seen), before) {
		t.Error("the first proof is overwritten")
	}
	mustPut(t, a, c, c.at(t, 30)) // the witness goes on with what it holds
}

// TestServerConcurrently: of many requests at a time, of two ledgers and over restarts
// of the process's memory, what is signed is one growing ledger.
func TestServerConcurrently(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 40)
	other := l.fork(t, 4)
	s := ownServer(t, l.logs(t))
	type signature struct {
		size int64
		text string
	}
	var mu sync.Mutex
	var signed []signature
	requests := make(map[[2]int64][2]string)
	for old := range int64(40) {
		for _, n := range []int64{0, 1, 3} {
			if old+n <= 40 {
				requests[[2]int64{old, old + n}] = [2]string{l.request(t, old, old+n), other.request(t, old, old+n)}
			}
		}
	}
	texts := [2]func(int64) string{func(n int64) string { return l.text(t, n) }, func(n int64) string { return other.text(t, n) }}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 7))
			old := int64(0)
			for range 150 {
				size := old + []int64{0, 1, 3}[rnd.IntN(3)]
				which := g % 2
				pair, ok := requests[[2]int64{old, size}]
				if !ok {
					return
				}
				a := ask(t, s, pair[which])
				switch a.status {
				case http.StatusOK:
					mu.Lock()
					signed = append(signed, signature{size, texts[which](size)})
					mu.Unlock()
					old = size
				case http.StatusConflict:
					_, _ = fmt.Sscanf(string(a.body), "%d", &old)
				case http.StatusUnprocessableEntity, http.StatusServiceUnavailable:
				default:
					t.Errorf("%d %s", a.status, a.said())
				}
			}
		})
	}
	wg.Wait()
	roots := map[int64]string{}
	last := int64(0)
	for _, x := range signed {
		if have, ok := roots[x.size]; ok && have != x.text {
			t.Fatalf("two roots of size %d are cosigned:\n%s%s", x.size, have, x.text)
		}
		roots[x.size] = x.text
		last = max(last, x.size)
	}
	// Beyond the fork all are of one ledger.
	mine := roots[last] == l.text(t, last)
	for size, text := range roots {
		if size > 4 && (text == l.text(t, size)) != mine {
			t.Errorf("size %d is of the other ledger than size %d", size, last)
		}
	}
	if last < 20 {
		t.Errorf("only %d cosigned: the test tests little", last)
	}
	if s.state[l.origin].size != uint64(last) {
		t.Errorf("the state holds %d, cosigned %d", s.state[l.origin].size, last)
	}
}

func TestServerBounds(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 2*logBurst)
	now := &clock{time.Unix(1_000_000, 0)}
	cfg := func(c *ServerConfig) { c.Now = now.now }
	t.Run("rate", func(t *testing.T) {
		s := ownServer(t, l.logs(t), cfg)
		s.limits[l.origin].SetLimit(logRate)
		s.limits[l.origin].SetBurst(logBurst)
		writes := 0
		real := point
		t.Cleanup(func() { point = real })
		point = func(name string) error {
			if name == pointWritten {
				writes++
			}
			return real(name)
		}
		stranger := newLog(t, l.origin, 1, 9)
		for range 3 * logBurst { // who is not the log takes nothing of its rate
			if a := ask(t, s, stranger.request(t, 0, 3)); a.status != 403 {
				t.Fatalf("%d", a.status)
			}
		}
		mustCosign(t, s, l, 0, 1)
		newest := l.request(t, 1, 1)
		for range 3 * logBurst { // and a checkpoint is public: who sends it again does not either
			for body, want := range map[string]int{newest: 200, l.request(t, 0, 1): 409} {
				if a := ask(t, s, body); a.status != want {
					t.Fatalf("sent again: %d, want %d", a.status, want)
				}
			}
		}
		if writes != 1 {
			t.Errorf("the state was written %d times within a second for one size", writes)
		}
		size := int64(1)
		for ; size < logBurst; size++ {
			mustCosign(t, s, l, size, size+1)
		}
		if a := ask(t, s, l.request(t, size, size+1)); a.status != 429 {
			t.Errorf("beyond the burst: %d", a.status)
		}
		now.t = now.t.Add(time.Second)
		mustCosign(t, s, l, size, size)
		mustCosign(t, s, l, size, size+1)
	})
	t.Run("clock", func(t *testing.T) {
		s := ownServer(t, l.logs(t), cfg)
		mustCosign(t, s, l, 0, 3)
		now.t = now.t.Add(-time.Second)
		if a := ask(t, restart(t, s), l.request(t, 3, 5)); a.status != 503 {
			t.Errorf("behind the last cosignature: %d", a.status)
		}
		now.t = now.t.Add(time.Second)
		a := ask(t, s, l.request(t, 3, 5))
		if at, ok := cosigned(t, s, l.text(t, 5), a); !ok || at != now.t.Unix() {
			t.Errorf("dated %d: %d %s", at, a.status, a.said())
		}
		now.t = time.Unix(0, 0)
		if a := ask(t, ownServer(t, l.logs(t), cfg), l.request(t, 0, 5)); a.status != 503 {
			t.Errorf("without a clock: %d", a.status)
		}
	})
	t.Run("slots", func(t *testing.T) {
		s := ownServer(t, l.logs(t))
		for range maxSlots {
			s.slots <- struct{}{}
		}
		if a := ask(t, s, l.request(t, 0, 5)); a.status != 503 {
			t.Errorf("busy: %d", a.status)
		}
		<-s.slots
		mustCosign(t, s, l, 0, 5)
	})
	t.Run("a body that stops", func(t *testing.T) {
		s := ownServer(t, l.logs(t))
		srv := httptest.NewServer(s)
		defer srv.Close()
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, r)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
		if _, err := io.WriteString(w, "old 0\n"); err != nil {
			t.Fatal(err)
		}
		mustCosign(t, s, l, 0, 5) // nobody waits for it
		cancel()
		_ = w.Close() // the client waits for its body's end
		<-done
	})
}
