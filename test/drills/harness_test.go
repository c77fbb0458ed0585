package drills

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/merkle"
	"qifeng/test/testnet"
)

// Variable asks for the drills.
const Variable = "QIFENG_DRILLS"

const (
	vendor = testnet.Vendor // submits
	victim = "notary-a"     // is hurt
	steady = "court-a"      // is looked at
)

// members in the order of "devnet homes --published".
var members = testnet.Members

func asked(t *testing.T) {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skip(Variable + " is not set: scripts/drills.sh members runs this")
	}
}

// Ways to build the program.
var (
	plain  = testnet.Plain
	faulty = &testnet.Build{Name: "qifeng-faults", Args: func(string) ([]string, error) { return []string{"-tags", "faults"}, nil }}
	skewed = &testnet.Build{Name: "qifeng-skewed", Args: skewedClock}
)

func TestMain(m *testing.M) { testnet.Main(m) }

// skewedClock makes an overlay of the standard library in which time.Now is off
// by QIFENG_DRILL_SKEW seconds. What measures durations is not: only the wall
// clock lies, as a badly set one does.
func skewedClock(dir string) ([]string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	const line = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), line) != 1 {
		return nil, errors.New("time.Now is not what it was in Go 1.26")
	}
	out := strings.Replace(string(text), line, line+"\tsec += drillSkew\n", 1)
	// The package may not import os, but it imports syscall.
	const add = `package time

import "syscall"

var drillSkew = func() (n int64) {
	s, _ := syscall.Getenv("QIFENG_DRILL_SKEW")
	digits := s
	if s != "" && s[0] == '-' {
		digits = s[1:]
	}
	for _, c := range []byte(digits) {
		n = 10*n + int64(c-'0')
	}
	if digits != s {
		n = -n
	}
	return n
}()
`
	files := map[string]string{}
	for name, b := range map[string]string{"time.go": out, "drill.go": add} {
		file := filepath.Join(dir, "skewed-"+name)
		if err := os.WriteFile(file, []byte(b), 0o600); err != nil {
			return nil, err
		}
		files[filepath.Join(filepath.Dir(path), name)] = file
	}
	raw, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		return nil, err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return []string{"-overlay", overlay}, os.WriteFile(overlay, raw, 0o600)
}

// network is four members that the test runs.
type network struct {
	*testnet.Homes
	t     *testing.T
	links *links // nil: the members reach each other directly
	sub   *client.Submitter
	cl    *client.Client
}

// newNetwork makes four homes, dated by env of the program that makes them, and
// runs them.
func newNetwork(t *testing.T, maker *testnet.Build, env ...string) *network {
	t.Helper()
	return newNetworkOver(t, maker, nil, env...)
}

// newNetworkOver lets the members reach each other over links that can be cut.
func newNetworkOver(t *testing.T, maker *testnet.Build, over *links, env ...string) *network {
	t.Helper()
	n := &network{Homes: testnet.NewHomes(t, maker, env...), t: t, links: over}
	for _, m := range members {
		n.configure(m)
	}
	for _, m := range members {
		n.start(m, plain)
	}
	if err := n.Register(t); err != nil {
		t.Fatal(err)
	}
	n.sub = testnet.Submitter(t, n.Home(vendor))
	n.cl = testnet.Reader(t, "http://"+n.APIs[vendor], n.Home(vendor), vendor, client.Options{Attempts: 5, Timeout: 20 * time.Second})
	return n
}

// configure sets addresses and a heartbeat of two seconds.
func (n *network) configure(member string) {
	n.t.Helper()
	var peers []string
	for m, p := range n.Peers {
		if m == member {
			continue
		}
		if n.links != nil {
			id, addr, _ := strings.Cut(p, "@")
			p = id + "@" + n.links.to(member, m, addr)
		}
		peers = append(peers, p)
	}
	n.Configure(n.t, member, peers)
	n.Change(n.t, member, map[string]string{"heartbeat = '1m0s'": "heartbeat = '2s'"})
}

func (n *network) start(member string, b *testnet.Build, env ...string) *testnet.Node {
	n.t.Helper()
	return n.Start(n.t, member, b, env...)
}

func (n *network) stop(member string) {
	n.t.Helper()
	n.Nodes[member].End(n.t, syscall.SIGTERM)
}

func (n *network) eventually(d time.Duration, what string, ok func() error) {
	n.t.Helper()
	testnet.Eventually(n.t, d, what, ok)
}

// logs waits until a member's log has a line with all of texts.
func (n *network) logs(member string, texts ...string) {
	n.t.Helper()
	n.eventually(10*time.Second, fmt.Sprintf("%s logs %q", member, texts), func() error {
		log, err := os.ReadFile(n.Nodes[member].Log)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(log)) {
			all := true
			for _, text := range texts {
				all = all && strings.Contains(line, text)
			}
			if all {
				return nil
			}
		}
		return errors.New("no such line")
	})
}

func (n *network) status(member string) (*client.Status, error) {
	c, err := client.New("http://"+n.APIs[member], client.Options{Attempts: 1, Timeout: 3 * time.Second})
	if err != nil {
		return nil, err
	}
	return c.Status(n.t.Context())
}

// ready waits until a member is ready.
func (n *network) ready(member string) {
	n.t.Helper()
	n.eventually(90*time.Second, member+" ready", func() error {
		st, err := n.status(member)
		if err == nil && !st.Ready {
			err = fmt.Errorf("reasons %v", st.Reasons)
		}
		return err
	})
}

// refuses waits until status, the command line and the log name a guard's code.
func (n *network) refuses(member, code string) {
	n.t.Helper()
	n.eventually(60*time.Second, member+" refuses with "+code, func() error {
		st, err := n.status(member)
		if err == nil && (st.Ledger.GuardOK || st.Ledger.GuardCode != code) {
			err = fmt.Errorf("guard ok %v, code %q, %s", st.Ledger.GuardOK, st.Ledger.GuardCode, st.Ledger.Guard)
		}
		return err
	})
	n.logs(member, `"level":"ERROR"`, `"code":"`+code+`"`)
	cmd := exec.Command(plain.Path(n.t), "status", "--home", n.Home(member), "--lang", "en")
	if out, _ := cmd.Output(); !bytes.Contains(out, []byte("("+code+")")) {
		n.t.Errorf("qifeng status does not name %s:\n%s", code, out)
	}
}

// seals waits until a member seals and is ready, as it and the others say.
func (n *network) seals(member string) {
	n.t.Helper()
	n.ready(member)
	n.eventually(60*time.Second, member+" seals", func() error {
		own, err := n.status(member)
		if err != nil {
			return err
		}
		st, err := n.status(steady)
		if err != nil {
			return err
		}
		if m := of(st, member); !own.Ledger.GuardOK || !m.Fresh || m.SealSize < st.Ledger.SealedSize {
			return fmt.Errorf("guard %q; %s holds its seal of %d, fresh %v, and has sealed %d", own.Ledger.Guard, steady, m.SealSize, m.Fresh, st.Ledger.SealedSize)
		}
		return nil
	})
}

func of(st *client.Status, member string) wire.MemberStatus {
	for _, m := range st.Members {
		if m.ID == member {
			return m
		}
	}
	return wire.MemberStatus{}
}

// noAlarms checks that no member but those excepted has an alarm or an error.
func (n *network) noAlarms(but ...string) {
	n.t.Helper()
	for _, m := range members {
		if len(but) > 0 && m == but[0] {
			continue
		}
		st, err := n.status(m)
		if err != nil {
			n.t.Error(err)
			continue
		}
		for _, a := range append(st.Ledger.Alarms, st.Intake.Alarms...) {
			n.t.Errorf("an alarm at %s: %s", m, a)
		}
		if files, _ := filepath.Glob(filepath.Join(n.Home(m), "data", "fraud", "*")); len(files) > 0 {
			n.t.Errorf("fraud proofs at %s: %v", m, files)
		}
	}
}

// submit submits a contract and returns its id.
func (n *network) submit(ctx context.Context, content string) (evidence.ID, error) {
	req, err := n.sub.NewRequest(n.sub.NewContract(evidence.ContractFinal, merkle.Sum([]byte(content)), uint64(len(content))))
	if err != nil {
		return "", err
	}
	_, err = n.cl.Submit(ctx, req.Raw, 0)
	return req.Submissions[0].ID(), err
}

// proved submits a contract and waits for its proof, which must hold.
func (n *network) proved(content string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	id, err := n.submit(ctx, content)
	if err != nil {
		n.t.Fatal(err)
	}
	n.holds(ctx, id)
}

func (n *network) holds(ctx context.Context, id evidence.ID) {
	n.t.Helper()
	f, err := n.cl.WaitProof(ctx, id)
	if err != nil {
		n.t.Fatalf("the proof of %s: %v", id, err)
	}
	p := testnet.Policy(n.t, filepath.Join(n.Home(vendor), "policy.txt"))
	if r := proof.Verify(f, p, nil, proof.Options{}); r.Result != proof.Proved {
		n.t.Fatalf("the proof of %s does not hold:\n%s", id, r.Text(proof.English))
	}
}
