package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/genesis"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

func TestParseLang(t *testing.T) {
	tests := []struct {
		name, flag string
		env        map[string]string
		want       Lang
		err        bool
	}{
		{name: "nothing said", want: Chinese},
		{name: "flag wins", flag: "en", env: map[string]string{"LANG": "zh_CN.UTF-8"}, want: English},
		{name: "English", env: map[string]string{"LANG": "en_GB.UTF-8"}, want: English},
		{name: "Chinese", env: map[string]string{"LANG": "zh_CN.UTF-8"}, want: Chinese},
		{name: "LC_ALL before LANG", env: map[string]string{"LC_ALL": "zh_CN", "LANG": "en_US"}, want: Chinese},
		{name: "C is no language", env: map[string]string{"LANG": "C.UTF-8"}, want: Chinese},
		{name: "unknown", flag: "fr", err: true},
	}
	for _, tt := range tests {
		got, err := ParseLang(tt.flag, func(k string) string { return tt.env[k] })
		if got != tt.want || (err != nil) != tt.err {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestExitCode(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		code  int
		quiet bool
	}{
		{"no error", nil, 0, true},
		{"cobra's own", errors.New("unknown flag"), exitUsage, false},
		{"usage, wrapped", fmt.Errorf("outer: %w", usagef("inner")), exitUsage, false},
		{"verdict", quietExit(exitNotProved), exitNotProved, true},
		{"failure", &codeError{code: exitFailed, err: io.EOF}, exitFailed, false},
	}
	for _, tt := range tests {
		if code, quiet := exitCode(tt.err); code != tt.code || quiet != tt.quiet {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, code, quiet, tt.code, tt.quiet)
		}
	}
	if quietExit(0) != nil {
		t.Error("exit code 0 is an error")
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"devnet/vendor-a": "devnet/vendor-a", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "合同.pdf": "'合同.pdf'", "$(rm)": "'$(rm)'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(in)).Output()
		if err != nil || string(out) != in {
			t.Errorf("%q: a shell reads %q, %v", in, out, err)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := writeNew(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing over a file: %v", err)
	}
	if err := writeSame(path, []byte("one"), 0o600); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := writeSame(path, []byte("two"), 0o600); err == nil {
		t.Error("other content was accepted")
	}
	if err := replaceFile(path, []byte("three"), 0o640); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	fi, serr := os.Stat(path)
	if err != nil || serr != nil || string(b) != "three" || fi.Mode().Perm() != 0o640 {
		t.Errorf("%q, %v, %v", b, err, serr)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("temporary files are left: %v, %v", entries, err)
	}
	for _, bad := range []string{filepath.Join(dir, "none"), dir} {
		if _, err := readSmall(bad, 10); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	if _, err := readSmall(path, 3); err == nil {
		t.Error("a file over the bound was read")
	}
}

func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := lockDir(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing folder was locked")
	}
}

func TestFlatFacts(t *testing.T) {
	names, values, err := flatFacts([]byte(` {"姓名": "林晓", "b": "", "a": "x\ny"} `))
	if err != nil || !slices.Equal(names, []string{"姓名", "b", "a"}) || !slices.Equal(values, []string{"林晓", "", "x\ny"}) {
		t.Errorf("%q, %q, %v", names, values, err)
	}
	for name, in := range map[string]string{
		"array": `["a"]`, "string": `"a"`, "nothing": ``, "number": `{"a":1}`, "null": `{"a":null}`, "nested": `{"a":{"b":"c"}}`,
		"twice": `{"a":"x","a":"y"}`, "twice, escaped": `{"a":"x","\u0061":"y"}`, "no UTF-8": "{\"a\":\"\xff\"}",
		"half a pair": `{"a":"\udc00"}`, "half a pair in a name": `{"\ud800":"a"}`, "more after": `{"a":"x"}{}`, "cut": `{"a":"x"`, "cut in a value": `{"a":`,
	} {
		if _, _, err := flatFacts([]byte(in)); err == nil {
			t.Errorf("%s was accepted: %s", name, in)
		}
	}
}

func FuzzFlatFacts(f *testing.F) {
	f.Add([]byte(`{"a":"b"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		names, values, err := flatFacts(b)
		if err != nil {
			return
		}
		claims := evidence.NewClaims(names, values)
		text, err := claims.Marshal()
		if err != nil {
			return // a character that no claims file takes
		}
		back, err := evidence.ParseClaims(text)
		if err != nil || !sameFacts(back, names, values) {
			t.Fatalf("facts %q %q came back as %v, %v", names, values, back, err)
		}
	})
}

func TestHashFile(t *testing.T) {
	dir := t.TempDir()
	a := &app{errw: io.Discard}
	for _, size := range []int{0, 1, hashBuffer, hashBuffer + 1, 3*hashBuffer - 1} {
		data := bytes.Repeat([]byte("骑缝"), size/6+1)[:size]
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := a.hashFile(path, true)
		if err != nil {
			t.Fatal(err)
		}
		if h.digest != merkle.Sum(data) || h.size != uint64(size) || h.second != gm.SM3(data) {
			t.Errorf("%d bytes: other digests than of the whole", size)
		}
	}
	if _, err := a.hashFile(dir, false); err == nil {
		t.Error("a folder was hashed")
	}
}

func TestUserKeys(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k.pem")
	made, err := makeUserKey(path, "vendor-a", "orders", gm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	got, err := loadUserKey(path)
	if err != nil || got.Member != "vendor-a" || got.Name != "orders" || got.Public() != made.Public() {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := makeUserKey(path, "vendor-a", "orders", gm.SM2); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing key: %v", err)
	}
}

func TestStartingAnswersAndHandsOver(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s, err := answerStarting(ln.(*net.TCPListener), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ln.Addr().String()
	c, err := client.New(url, client.Options{Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Ready(t.Context()); err != nil || r.Ready || len(r.Reasons) != 1 || r.Reasons[0].Code != "starting" {
		t.Errorf("readyz: %+v, %v", r, err)
	}
	if _, err := c.Status(t.Context()); !client.HasCode(err, "starting") {
		t.Errorf("status: %v", err)
	}
	if resp, err := http.Get(url + "/healthz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("healthz: %v", err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	// The port is still ours, and the next server answers on it.
	next := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ready":true}`) })}
	go next.Serve(ln)
	defer next.Close()
	if r, err := c.Ready(t.Context()); err != nil || !r.Ready {
		t.Errorf("after the hand-over: %+v, %v", r, err)
	}
}

func TestStatusNamesWhatIsWrong(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, lang: English}
	a.printStatus(&wire.Status{Chain: "dev-00000000", Node: "vendor-a", Time: "2026-11-21T08:00:10Z",
		Reasons: []wire.Reason{{Code: "quorum", Detail: "2 of 4"}},
		Ledger:  wire.LedgerStatus{SealedSize: 3, SealedTime: "2026-11-21T08:00:00Z", Missing: "court-a", GuardCode: "guard-missing", Guard: "no guard", Alarms: []string{"split view"}},
		Intake:  wire.IntakeStatus{Reason: "the disk is full"},
		Members: []wire.MemberStatus{{ID: "court-a", Role: "court"}, {ID: "vendor-a", Self: true, SealTime: "2026-11-21T08:00:09.5Z"},
			{ID: "notary-a", ClockOffset: new(int64(-90))}}})
	for _, want := range []string{"NOT READY", "quorum: 2 of 4", "size 3, 10s ago", "missing: court-a", "(guard-missing): no guard", "clock unknown", "clock -90 s", "split view", "the disk is full", "away", "never", "0s ago"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said in:\n%s", want, out.String())
		}
	}
}

// TestSupervisor runs programs that are no nodes: a shell that ends at once.
func TestSupervisorRestartsWithBackOff(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "court-a"), 0o700); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "dies")
	if err := os.WriteFile(exe, []byte("#!/bin/sh\necho life >> "+filepath.Join(dir, "lives")+"\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var said []string
	s := &supervisor{exe: exe, dir: dir, members: []devMember{{genesis.DevMember{ID: "court-a"}}}, report: func(_, _, en string) {
		mu.Lock()
		defer mu.Unlock()
		if said = append(said, en); len(said) == 3 {
			cancel()
		}
	}}
	s.run(ctx) // until the third death
	mu.Lock()
	defer mu.Unlock()
	for i, pause := range []string{"200ms", "400ms", "800ms"} {
		if !strings.Contains(said[i], "exit status 7") || !strings.Contains(said[i], pause) {
			t.Errorf("death %d: %q, want the exit status and a pause of %s", i, said[i], pause)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "lives")); err != nil || strings.Count(string(b), "life") != 3 {
		t.Errorf("lives: %q, %v", b, err)
	}
}

func TestSupervisorKillsWhatDoesNotStop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the grace of a stop")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "court-a"), 0o700); err != nil {
		t.Fatal(err)
	}
	exe, up := filepath.Join(dir, "deaf"), filepath.Join(dir, "up")
	if err := os.WriteFile(exe, []byte("#!/bin/sh\ntrap '' TERM\ntouch "+up+"\nwhile :; do sleep 0.1; done\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var said string
	s := &supervisor{exe: exe, dir: dir, members: []devMember{{genesis.DevMember{ID: "court-a"}}}, report: func(_, _, en string) { said = en }}
	go func() {
		defer cancel()
		for !exists(up) && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	began := time.Now()
	s.run(ctx)
	if took := time.Since(began); took < stopGrace || took > stopGrace+5*time.Second {
		t.Errorf("it took %v, the grace is %v", took, stopGrace)
	}
	if !strings.Contains(said, "killed") {
		t.Errorf("it said %q", said)
	}
}

func TestDevnetPortsAreFree(t *testing.T) {
	s, err := newDevnetState(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Members {
		for _, addr := range []string{m.API, m.Peer} {
			ln, err := net.Listen("tcp", addr)
			if err != nil {
				t.Errorf("%s of %s is not free: %v", addr, m.ID, err)
				continue
			}
			ln.Close()
		}
	}
	ln, err := net.Listen("tcp", s.Members[2].Peer)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var base int
	if _, err := fmt.Sscanf(s.Members[0].API, "127.0.0.1:%d", &base); err != nil || portsFree(base) {
		t.Errorf("ports from %d are called free while one is taken (%v)", base, err)
	}
}

// TestVectors runs verify on every published proof vector: exit code and steps.
func TestVectors(t *testing.T) {
	const dir = "../test/vectors"
	b, err := os.ReadFile(filepath.Join(dir, "proofs.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Content, Proof, Policy string
		Exit                         int
		Steps                        map[string]string
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 100 {
		t.Fatalf("%d vectors only", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			args := []string{"verify", "--json", "--policy", filepath.Join(dir, v.Policy)}
			if v.Content == "" {
				args = append(args, filepath.Join(dir, v.Proof))
			} else {
				args = append(args, filepath.Join(dir, v.Content), "--proof", filepath.Join(dir, v.Proof))
			}
			var out, errw bytes.Buffer
			a := &app{in: strings.NewReader(""), out: &out, errw: &errw, getenv: func(string) string { return "" }}
			if code := a.main(t.Context(), args); code != v.Exit {
				t.Fatalf("exit code %d, want %d\n%s%s", code, v.Exit, &out, &errw)
			}
			var report struct {
				Steps []struct{ Name, Outcome string }
			}
			if v.Exit != exitUsage {
				if err := json.Unmarshal(out.Bytes(), &report); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range report.Steps {
				if v.Steps[s.Name] != s.Outcome {
					t.Errorf("step %s is %q, want %q", s.Name, s.Outcome, v.Steps[s.Name])
				}
			}
		})
	}
}
