package witness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

func TestStateRefuses(t *testing.T) {
	l, m := newLog(t, "log.example/a", 1, 9), newLog(t, "log.example/b", 2, 9)
	s := ownServer(t, append(l.logs(t), m.logs(t)...))
	mustCosign(t, s, l, 0, 3)
	mustCosign(t, s, m, 0, 5)
	good := fileBytes(t, s.cfg.State)
	if info, err := os.Stat(s.cfg.State); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	reads := func(b []byte) error {
		if err := os.WriteFile(s.cfg.State, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := NewServer(s.cfg)
		return err
	}
	for i := range good { // every bit counts
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		if reads(b) == nil {
			t.Fatalf("with byte %d changed it reads", i)
		}
	}
	for i := range good {
		if reads(good[:i]) == nil {
			t.Fatalf("cut at %d it reads", i)
		}
	}
	if reads(append(bytes.Clone(good), '\n')) == nil || reads(bytes.Repeat([]byte{'x'}, maxState+1)) == nil {
		t.Error("with something after it it reads")
	}
	if err := reads(good); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.cfg.State); err != nil {
		t.Fatal(err)
	}
	if _, err := NewServer(s.cfg); !errors.Is(err, ErrNoState) {
		t.Errorf("without a state: %v", err)
	}
	if err := reads(good); err != nil {
		t.Fatal(err)
	}
	if err := InitState(s.cfg.State); err == nil {
		t.Error("a state is made over one that is there")
	}
	if err := InitState(filepath.Join(t.TempDir(), "no", "folder")); err == nil {
		t.Error("a state is made in no folder")
	}
	// A log that is taken out of the configuration and comes back is not new.
	only := s.cfg
	only.Logs = m.logs(t)
	without, err := NewServer(only)
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, without, l.request(t, 3, 4)); a.status != 404 {
		t.Errorf("a log that is out: %d", a.status)
	}
	mustCosign(t, without, m, 5, 6)
	back := restart(t, s)
	if a := ask(t, back, l.request(t, 0, 4)); a.status != 409 || string(a.body) != "3\n" {
		t.Errorf("a log that is back: %d %s", a.status, a.said())
	}
	mustCosign(t, back, l, 3, 4)
	mustCosign(t, back, m, 6, 6)
}

// TestStateOrder: a state with entries in another order or twice is none of ours, even
// with a true sum.
func TestStateOrder(t *testing.T) {
	note := []byte("log.example/a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n")
	if _, err := decodeState(encodeState(map[string]held{"log.example/a": {note: note, time: 1}})); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]map[string]held{
		"another origin":   {"log.example/b": {note: note, time: 1}},
		"no note":          {"log.example/a": {note: []byte("x"), time: 1}},
		"no checkpoint":    {"log.example/a": {note: []byte("log.example/a\n\n"), time: 1}},
		"time 0":           {"log.example/a": {note: note}},
		"an empty origin":  {"": {note: note, time: 1}},
		"a note too large": {"log.example/a": {note: append(bytes.Clone(note), make([]byte, maxHeld)...), time: 1}},
	} {
		if _, err := decodeState(encodeState(m)); err == nil {
			t.Errorf("%s: it reads", name)
		}
	}
}

func TestStateIsFull(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 9)
	s := ownServer(t, l.logs(t))
	for i := range maxKept {
		text := fmt.Sprintf("log.example/old%d\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n", i)
		h, err := headOf([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.state[h.origin] = held{head: h, note: []byte(text), time: 1}
	}
	if a := ask(t, s, l.request(t, 0, 4)); a.status != 500 {
		t.Errorf("one log too many: %d", a.status)
	}
	delete(s.state, "log.example/old7")
	mustCosign(t, s, l, 0, 4)
	restart(t, s) // and what was written reads
	// The largest state that the bounds allow is read, too.
	for origin := range s.state {
		text := origin + "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n" + strings.Repeat("x", maxHeld)
		text = text[:maxHeld-2] + "\n\n"
		h, err := headOf([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.state[origin] = held{head: h, note: []byte(text), time: 1}
	}
	if n := len(encodeState(s.state)) + maxKept*maxOrigin; n > maxState {
		t.Errorf("a full state can have %d bytes, %d are read", n, maxState)
	}
	if _, err := decodeState(encodeState(s.state)); err != nil {
		t.Error(err)
	}
}

// TestServerFailures: a step that fails gives no cosignature, loses nothing, and never
// leads to two roots of one size.
func TestServerFailures(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 20)
	other := l.fork(t, 4)
	broken := errors.New("the step fails")
	for _, at := range points {
		t.Run(at, func(t *testing.T) {
			defer func() { point = func(string) error { return nil } }()
			s := ownServer(t, l.logs(t))
			mustCosign(t, s, l, 0, 3)
			point = func(name string) error {
				if name == at {
					return broken
				}
				return nil
			}
			if a := ask(t, s, l.request(t, 3, 7)); a.status != 500 || bytes.Contains(a.body, []byte("—")) || bytes.Contains(a.body, []byte(broken.Error())) {
				t.Fatalf("%d %s", a.status, a.said())
			}
			point = func(string) error { return nil }
			if out := s.Err() != nil; out != (at == pointRenamed) {
				t.Errorf("out of order: %t", out)
			}
			forked := ask(t, s, other.request(t, 3, 7))
			switch at {
			case pointChecked, pointWritten: // the first was never recorded: either may come
				if forked.status != 200 {
					t.Errorf("another ledger after nothing was recorded: %d", forked.status)
				}
				return
			case pointRenamed: // nobody knows what is on disk: nothing until a new start
				if forked.status != 500 {
					t.Errorf("out of order: %d", forked.status)
				}
			default: // recorded: the other ledger is out
				if forked.status != 409 {
					t.Errorf("another ledger after the first was recorded: %d", forked.status)
				}
			}
			s = restart(t, s)
			if a := ask(t, s, other.request(t, 7, 9)); a.status != 422 {
				t.Errorf("another ledger after a new start: %d %s", a.status, a.said())
			}
			mustCosign(t, s, l, 7, 7) // the log that got no answer gets it now
			mustCosign(t, s, l, 7, 9)
		})
	}
}

// TestServerDisk: a folder that cannot be written gives no cosignature, and one that
// can be again is gone on with.
func TestServerDisk(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 20)
	s := ownServer(t, l.logs(t))
	mustCosign(t, s, l, 0, 3)
	dir := s.cfg.State + ".tmp" // a folder in the way of the temporary file
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, s, l.request(t, 3, 7)); a.status != 500 {
		t.Errorf("%d %s", a.status, a.said())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	mustCosign(t, s, l, 3, 7)
}

type failingSigner struct{ gm.Signer }

func (failingSigner) Sign([]byte) ([]byte, error) { return nil, errors.New("the key is gone") }

func TestServerWithoutItsKey(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 20)
	s := ownServer(t, l.logs(t), func(c *ServerConfig) { c.Key = failingSigner{c.Key} })
	if a := ask(t, s, l.request(t, 0, 7)); a.status != 500 || strings.Contains(string(a.body), "key is gone") {
		t.Errorf("%d %s", a.status, a.said())
	}
}

func TestParseLogs(t *testing.T) {
	a, b := newLog(t, "log.example/a", 3, 0), newLog(t, "log.example/b", 1, 0)
	good := "# logs\n\n" + b.vkeys[0] + "\r\n" + a.vkeys[0] + "\n" + a.vkeys[1] + " \n# more\n" + a.vkeys[2]
	logs, err := ParseLogs([]byte(good))
	if err != nil || len(logs) != 2 || logs[0].Origin != a.origin || len(logs[0].Keys) != 3 || logs[1].Origin != b.origin || len(logs[1].Keys) != 1 {
		t.Fatalf("%+v, %v", logs, err)
	}
	cosigner := checkpoint.Witness{Name: "log.example/c", Key: newKey(t, gm.Ed25519).Public()}.String()
	many := func(origins, keys int) string {
		var s strings.Builder
		for o := range origins {
			for range keys {
				s.WriteString(checkpoint.LogKey(fmt.Sprintf("log.example/%d", o), newKey(t, gm.Ed25519).Public()) + "\n")
			}
		}
		return s.String()
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "no log"},
		{"comments", "# none\n\n", "no log"},
		{"no key", "\nlog.example/a\n", "line 2"},
		{"another word", "log " + a.vkeys[0], "line 1"},
		{"a cosignature key", "#\n#\n" + cosigner, "line 3"},
		{"twice", a.vkeys[0] + "\n" + b.vkeys[0] + "\n" + a.vkeys[0], "line 3"},
		{"a false key id", strings.Replace(a.vkeys[0], "+", "+0", 1), "line 1"},
		{"an origin in Chinese", checkpoint.LogKey("日志", newKey(t, gm.Ed25519).Public()), "printable ASCII"},
		{"too many logs", many(maxLogs+1, 1), "line 65"},
		{"too many keys", many(1, maxLogKeys+1), "line 31"},
		{"too large", strings.Repeat("#\n", maxLogsFile/2+1), "bytes"},
	} {
		if logs, err := ParseLogs([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, logs, err)
		}
	}
	if _, err := ParseLogs([]byte(many(maxLogs, 1))); err != nil {
		t.Error(err)
	}
}

// TestOutside: this node is no witness of its own consortium.
func TestOutside(t *testing.T) {
	c := newConsortium(t, 0)
	l := newLog(t, "log.example/a", 1, 0)
	court := c.policy.Epochs[0].Members[1]
	own := newKey(t, gm.Ed25519)
	state := filepath.Join(t.TempDir(), "witness.json")
	if err := InitState(state); err != nil {
		t.Fatal(err)
	}
	good := ServerConfig{Name: "w", Key: own, Logs: l.logs(t), Policy: c.policy, State: state}
	for _, tt := range []struct {
		name string
		f    func(*ServerConfig)
		ok   bool
	}{
		{"as it should be", func(*ServerConfig) {}, true},
		{"the own chain", func(s *ServerConfig) { s.Logs = []Log{{c.origin(), []gm.PublicKey{court.Log}}} }, false},
		{"the own chain under another key", func(s *ServerConfig) { s.Logs[0].Origin = c.origin() }, false},
		{"a member's log key", func(s *ServerConfig) { s.Logs[0].Keys = []gm.PublicKey{court.Log} }, false},
		{"a seal key as witness key", func(s *ServerConfig) { s.Key = c.keys["court-a"].Ed25519 }, false},
		{"a log key as witness key", func(s *ServerConfig) { s.Key = c.keys["court-a"].Log }, false},
		{"the witness key as a log's", func(s *ServerConfig) { s.Logs[0].Keys = []gm.PublicKey{own.Public()} }, false},
		{"an SM2 key", func(s *ServerConfig) { s.Key = newKey(t, gm.SM2) }, false},
		{"no key", func(s *ServerConfig) { s.Key = nil }, false},
		{"no name", func(s *ServerConfig) { s.Name = "" }, false},
		{"a name with a space", func(s *ServerConfig) { s.Name = "a b" }, false},
		{"no policy", func(s *ServerConfig) { s.Policy = nil }, false},
		{"no logs", func(s *ServerConfig) { s.Logs = nil }, false},
		{"a log without keys", func(s *ServerConfig) { s.Logs[0].Keys = nil }, false},
		{"a log twice", func(s *ServerConfig) { s.Logs = append(s.Logs, s.Logs[0]) }, false},
		{"an odd origin", func(s *ServerConfig) { s.Logs[0].Origin = "a\nb" }, false},
		{"an SM2 key of a log", func(s *ServerConfig) { s.Logs[0].Keys = []gm.PublicKey{court.SealSM2} }, false},
		{"no state", func(s *ServerConfig) { s.State += "x" }, false},
	} {
		cfg := good
		cfg.Logs = l.logs(t)
		tt.f(&cfg)
		if _, err := NewServer(cfg); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func FuzzServer(f *testing.F) {
	l := newLog(f, "log.example/a", 1, 20)
	s := ownServer(f, l.logs(f))
	mustCosign(f, s, l, 0, 7)
	f.Add([]byte(l.request(f, 7, 12)))
	f.Add([]byte(l.request(f, 0, 12)))
	f.Add([]byte(l.request(f, 7, 7)))
	f.Add([]byte("old 7\n\nlog.example/a\n7\n\n— x AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := s.state[l.origin]
		a := s.add(body)
		after := s.state[l.origin]
		switch a.status {
		case 400, 403, 404, 409, 413, 422, 429:
			if before.size != after.size || before.root != after.root {
				t.Errorf("%d moved the state from %d to %d", a.status, before.size, after.size)
			}
		case 200:
			if after.size < before.size {
				t.Errorf("the state went back from %d to %d", before.size, after.size)
			}
			if after.root != l.root(t, int64(after.size)) {
				t.Errorf("cosigned a root that the log never had: %x", after.root)
			}
		default:
			t.Errorf("answered %d", a.status)
		}
	})
}

func FuzzState(f *testing.F) {
	l := newLog(f, "log.example/a", 1, 20)
	s := ownServer(f, l.logs(f))
	f.Add(encodeState(nil))
	mustCosign(f, s, l, 0, 7)
	f.Add(encodeState(s.state))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeState(b)
		if err == nil && !bytes.Equal(encodeState(m), b) {
			t.Errorf("read, and written otherwise:\n%s\n%s", b, encodeState(m))
		}
	})
}
