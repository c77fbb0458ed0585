package node

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/chain"
	"qifeng/genesis"
)

var ports = []int{8100, 8101, 8102, 8103}

// tree is every file of a folder with its mode and content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == lockName {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = fi.Mode().String() + "\n" + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameTree(t *testing.T, before, after map[string]string) {
	t.Helper()
	for path, content := range before {
		if after[path] != content {
			t.Errorf("%s has changed", path)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s is new", path)
		}
	}
}

func TestContainerHomes(t *testing.T) {
	dir := t.TempDir()
	// An engine mounts empty volumes.
	if err := os.Mkdir(filepath.Join(dir, "court-a"), 0o700); err != nil {
		t.Fatal(err)
	}
	chainID, made, err := makeContainerHomes(dir, ports, time.Now())
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	members, err := genesis.DevLayout(containerAPI)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		h := home(filepath.Join(dir, m.ID))
		cfg, err := h.config()
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Member.ID != m.ID || cfg.API.Listen != "0.0.0.0:8100" || !cfg.API.AllowRemote || len(cfg.API.Origins) != 3 || cfg.Peer.Listen != "0.0.0.0:8110" {
			t.Errorf("%s is configured as %+v %+v %+v", m.ID, cfg.Member, cfg.API, cfg.Peer)
		}
		cons, err := homeConsortium(h, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if card, _ := cons.Genesis.Card(m.ID); cons.ChainID != chainID || card.Peer != m.ID+":8110" {
			t.Errorf("%s is of chain %s at %s", m.ID, cons.ChainID, card.Peer)
		}
	}
	before := tree(t, dir)
	for path, content := range before {
		if filepath.Base(filepath.Dir(path)) == "keys" && !strings.HasPrefix(content, "-rw-------\n") {
			t.Errorf("%s has mode %.10s", path, content)
		}
	}

	unlock, err := lockDir(filepath.Join(dir, "court-a")) // as a running node does
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	again, made, err := makeContainerHomes(dir, ports, time.Now().Add(time.Hour))
	if err != nil || made || again != chainID {
		t.Errorf("a second run: chain %s, want %s; made %v; %v", again, chainID, made, err)
	}
	sameTree(t, before, tree(t, dir))
}

// TestContainerHomesAfterLoss takes up what a crash left, refuses what only a
// person can decide on, and in neither case touches what is there.
func TestContainerHomesAfterLoss(t *testing.T) {
	tests := []struct {
		name   string
		remove []string
		want   string // in the error; empty: taken up
	}{
		{"the last policy was not written", []string{"vendor-a/policy.txt"}, ""},
		{"the last two had not joined", []string{"arbitration-a/policy.txt", "arbitration-a/genesis.json", "vendor-a/policy.txt", "vendor-a/genesis.json"}, ""},
		{"the last home was not made", []string{"court-a/genesis.json", "court-a/policy.txt", "notary-a/genesis.json", "notary-a/policy.txt",
			"arbitration-a/genesis.json", "arbitration-a/policy.txt", "vendor-a"}, ""},
		{"a home in the middle of its making", []string{"court-a/genesis.json", "court-a/policy.txt", "notary-a/genesis.json", "notary-a/policy.txt",
			"arbitration-a/genesis.json", "arbitration-a/policy.txt", "vendor-a/genesis.json", "vendor-a/policy.txt", "vendor-a/qifeng.toml"}, "is not empty"},
		{"a lost home", []string{"notary-a"}, "needs its keys"},
		{"a lost configuration", []string{"notary-a/qifeng.toml", "notary-a/policy.txt"}, "needs its keys"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, _, err := makeContainerHomes(dir, ports, time.Now()); err != nil {
				t.Fatal(err)
			}
			for _, name := range tt.remove {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range tt.remove { // a home without genesis has bound no guard
				if filepath.Base(name) == genesisName {
					unbind(t, filepath.Join(dir, filepath.Dir(name), "keys", "guard.json"))
				}
			}
			before := tree(t, dir)
			_, made, err := makeContainerHomes(dir, ports, time.Now().Add(time.Hour))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("the error is %v, want %q", err, tt.want)
				}
				sameTree(t, before, tree(t, dir))
				return
			}
			if err != nil || !made {
				t.Fatalf("made %v, %v", made, err)
			}
			after := tree(t, dir)
			for path, content := range before {
				if after[path] != content && filepath.Base(path) != "guard.json" {
					t.Errorf("%s has changed", path)
				}
			}
			if _, made, err := makeContainerHomes(dir, ports, time.Now()); err != nil || made {
				t.Errorf("afterwards: made %v, %v", made, err)
			}
		})
	}
}

func TestContainerHomesOfTwoChains(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		if _, _, err := makeContainerHomes(d, ports, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	swap := filepath.Join(dir, "vendor-a")
	if err := os.RemoveAll(swap); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(swap, os.DirFS(filepath.Join(other, "vendor-a"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := makeContainerHomes(dir, ports, time.Now()); err == nil || !strings.Contains(err.Error(), "more than one chain") {
		t.Errorf("the error is %v", err)
	}
}

func TestDevnetHomesCommand(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{"made four homes", "were made before"} {
		var out, errw bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, errw: &errw, getenv: func(string) string { return "" }}
		if code := a.main(t.Context(), []string{"devnet", "homes", "--dir", dir, "--lang", "en"}); code != exitOK {
			t.Fatalf("exit code %d: %s", code, errw.String())
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("it says %q, want %q", out.String(), want)
		}
	}
	if matches, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(matches) != 4 {
		t.Errorf("the folder holds %v, want the four homes only; %v", matches, err)
	}
}

// unbind puts back the guard that init makes.
func unbind(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := chain.InitGuard(path, chain.NoOrigin); err != nil {
		t.Fatal(err)
	}
}
