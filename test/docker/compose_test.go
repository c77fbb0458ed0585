package docker

import (
	"archive/tar"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/proof"
)

const vendor = "vendor-a"

var members = []string{"court-a", "notary-a", "arbitration-a", vendor}

// TestCompose is one life of the four containers, from the building of the
// image to the deletion of the volumes, in each version of Compose.
func TestCompose(t *testing.T) {
	versions := composes(t)
	bin := buildPrograms(t)
	for _, argv := range versions {
		t.Run(strings.Join(argv, " "), func(t *testing.T) {
			n := newNetwork(t, bin, argv)
			n.compose(t, "up", "-d", "--build")
			n.healthy(t, members...)
			n.finished(t, "init")
			n.finished(t, "submit-key")
			t.Run("hardened", n.hardened)
			t.Run("keys", n.keys)
			// As the README tells a user: the vendor's keys, and the policy that the
			// court holds.
			for _, key := range []string{"submit.pem", "read.pem"} {
				n.docker(t, "cp", n.container(t, vendor).ID+":/homes/vendor-a/keys/"+key, n.path(key))
			}
			n.docker(t, "cp", n.container(t, "court-a").ID+":/homes/court-a/policy.txt", n.path("policy.txt"))
			t.Run("submit from outside", func(t *testing.T) { n.submit(t, "contract.pdf", 4) })
			t.Run("one container killed", n.killOne)
			t.Run("stop, up again", n.upAgain)
			t.Run("verify with nothing running", n.verifyStopped)
		})
	}
}

// hardened holds every container against what docker-compose.yml promises, as
// the engine understood it.
func (n *network) hardened(t *testing.T) {
	for _, s := range append(slices.Clone(members), "init", "submit-key") {
		c := n.container(t, s)
		h := c.HostConfig
		if c.Config.User != "65532:65532" || !h.ReadonlyRootfs || h.Privileged || len(h.CapAdd) != 0 ||
			!slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Contains(h.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s runs as user %q with %+v", s, c.Config.User, h)
		}
		for _, m := range c.Mounts {
			if m.Type != "volume" || slices.Contains(members, s) && m.Destination != "/homes/"+s {
				t.Errorf("%s has a mount %+v", s, m)
			}
		}
		published := 0
		for port, hosts := range c.NetworkSettings.Ports {
			for _, host := range hosts {
				published++
				if host.HostIP != "127.0.0.1" || port != "8100/tcp" || host.HostPort != fmt.Sprint(n.ports[s]) {
					t.Errorf("%s publishes %s at %s:%s", s, port, host.HostIP, host.HostPort)
				}
			}
		}
		if want := min(n.ports[s], 1); published != want {
			t.Errorf("%s publishes %d ports, want %d", s, published, want)
		}
	}
	f, err := elf.Open(filepath.Join(root, "bin/image/qifeng"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) != 0 {
		t.Errorf("the program needs the libraries %v, %v", libs, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic loader")
		}
	}
}

// keys looks into the volumes from outside: there is no shell inside.
func (n *network) keys(t *testing.T) {
	for _, m := range members {
		r := tar.NewReader(strings.NewReader(n.docker(t, "cp", n.container(t, m).ID+":/homes/"+m+"/.", "-")))
		files := 0
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 65532 || h.Gid != 65532 {
				t.Errorf("%s: %s belongs to %d:%d", m, h.Name, h.Uid, h.Gid)
			}
			if strings.Contains(h.Name, "keys/") && h.Typeflag == tar.TypeReg {
				files++
				if h.Mode&0o777 != 0o600 {
					t.Errorf("%s: %s has mode %o", m, h.Name, h.Mode)
				}
			}
		}
		if files < 8 {
			t.Errorf("%s has %d key files: five keys, two of CometBFT and the guard are the least", m, files)
		}
	}
}

// submit preserves a file through the published port, verifies its proof with
// the court's policy, and counts who sealed it.
func (n *network) submit(t *testing.T, name string, sealers int) {
	t.Helper()
	doc := n.path(name)
	b, err := os.ReadFile("../testdata/contract-zh.pdf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(doc, append(b, "\n% "+name...), 0o600); err != nil {
		t.Fatal(err)
	}
	n.qifeng(t, 0, "submit", doc, "--api", n.url(vendor), "--key", n.path("submit.pem"), "--read-key", n.path("read.pem"), "--policy", n.path("policy.txt"), "--wait")
	n.qifeng(t, 0, "verify", doc, "--policy", n.path("policy.txt"))
	if got := n.sealers(t, doc); len(got) > sealers {
		t.Errorf("%s was sealed by %v, want at most %d", name, got, sealers)
	}
}

// sealers are the members whose lines stand under the proof's checkpoint.
func (n *network) sealers(t *testing.T, doc string) []string {
	t.Helper()
	b, err := os.ReadFile(doc + ".qifeng.json")
	if err != nil {
		t.Fatal(err)
	}
	f, err := proof.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range members {
		if strings.Contains(string(f.Checkpoint), "\n— "+m+" ") {
			out = append(out, m)
		}
	}
	return out
}

// killOne kills a container: the engine leaves it down, the other three go on
// sealing, and once started again it catches up.
func (n *network) killOne(t *testing.T) {
	const victim = "notary-a"
	n.docker(t, "kill", n.container(t, victim).ID)
	if c := n.container(t, victim); c.State.Status != "exited" || c.State.ExitCode != 137 {
		t.Fatalf("the killed container is %+v", c.State)
	}
	n.submit(t, "while-one-is-down.pdf", 3)
	if got := n.sealers(t, n.path("while-one-is-down.pdf")); !slices.Equal(got, []string{"court-a", "arbitration-a", vendor}) {
		t.Errorf("sealed by %v while %s is down", got, victim)
	}
	n.healthy(t, "court-a", "arbitration-a", vendor)
	want := n.sealedSize(t, vendor)

	n.docker(t, "start", n.container(t, victim).ID)
	n.healthy(t, victim)
	eventually(t, victim+" has caught up", func() error {
		if got := n.sealedSize(t, victim); got < want {
			return fmt.Errorf("its newest sealed size is %d, want %d", got, want)
		}
		return nil
	})
}

func (n *network) sealedSize(t *testing.T, member string) uint64 {
	t.Helper()
	c, err := client.New(n.url(member), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st.Ledger.SealedSize
}

// upAgain removes the containers and keeps the volumes: the same chain goes
// on, with the same keys.
func (n *network) upAgain(t *testing.T) {
	before := n.sealedSize(t, vendor)
	n.compose(t, "down")
	n.compose(t, "up", "-d")
	n.healthy(t, members...)
	n.finished(t, "init")
	n.finished(t, "submit-key")
	n.docker(t, "cp", n.container(t, "court-a").ID+":/homes/court-a/policy.txt", n.path("policy-again.txt"))
	first, again := read(t, n.path("policy.txt")), read(t, n.path("policy-again.txt"))
	if first != again {
		t.Errorf("the policy was\n%s\nand is\n%s", first, again)
	}
	if after := n.sealedSize(t, vendor); after < before {
		t.Errorf("the ledger had %d entries and has %d", before, after)
	}
	n.submit(t, "after-the-restart.pdf", 4)
	n.compose(t, "up", "-d") // with everything running
	n.finished(t, "init")
}

// verifyStopped ends every container first: a proof needs none.
func (n *network) verifyStopped(t *testing.T) {
	n.compose(t, "stop")
	n.qifeng(t, 1, "status", "--api", n.url(vendor), "--timeout", "2s")
	for _, name := range []string{"contract.pdf", "while-one-is-down.pdf", "after-the-restart.pdf"} {
		n.qifeng(t, 0, "verify", n.path(name), "--policy", n.path("policy.txt"))
	}
	doc := []byte(read(t, n.path("contract.pdf")))
	doc[1000] ^= 1
	if err := os.WriteFile(n.path("tampered.pdf"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
	n.qifeng(t, 1, "verify", n.path("tampered.pdf"), "--proof", n.path("contract.pdf.qifeng.json"), "--policy", n.path("policy.txt"))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
