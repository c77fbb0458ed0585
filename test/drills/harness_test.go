package drills

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Variable asks for the drills.
const Variable = "QIFENG_DRILLS"

const (
	vendor = "vendor-a" // submits
	victim = "notary-a" // is hurt
	steady = "court-a"  // is looked at
)

// members in the order of "devnet homes --published".
var members = []string{"court-a", "notary-a", "arbitration-a", "vendor-a"}

func asked(t *testing.T) {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skip(Variable + " is not set: scripts/drills.sh members runs this")
	}
}

// build is one way to build the program.
type build struct {
	name string
	args func(dir string) ([]string, error)
	once sync.Once
	bin  string
	err  error
}

var (
	plain  = &build{name: "qifeng", args: func(string) ([]string, error) { return nil, nil }}
	faulty = &build{name: "qifeng-faults", args: func(string) ([]string, error) { return []string{"-tags", "faults"}, nil }}
	skewed = &build{name: "qifeng-skewed", args: skewedClock}
	bins   string
)

func TestMain(m *testing.M) {
	var err error
	if bins, err = os.MkdirTemp("", "qifeng-drills-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(bins)
	os.Exit(code)
}

func (b *build) path(t testing.TB) string {
	t.Helper()
	b.once.Do(func() {
		b.bin = filepath.Join(bins, b.name)
		args, err := b.args(bins)
		if err != nil {
			b.err = err
			return
		}
		out, err := exec.Command("go", append(append([]string{"build", "-o", b.bin}, args...), "qifeng")...).CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("building %s: %w\n%s", b.name, err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.bin
}

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
	t     *testing.T
	dir   string
	peers map[string]string // id@host:port
	apis  map[string]string // host:port
	nodes map[string]*node
	links *links // nil: the members reach each other directly
	sub   *client.Submitter
	cl    *client.Client
}

type node struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// newNetwork makes four homes, dated by env of the program that makes them, and
// runs them.
func newNetwork(t *testing.T, maker *build, env ...string) *network {
	t.Helper()
	return newNetworkOver(t, maker, nil, env...)
}

// newNetworkOver lets the members reach each other over links that can be cut.
func newNetworkOver(t *testing.T, maker *build, over *links, env ...string) *network {
	t.Helper()
	n := &network{links: over, t: t, dir: filepath.Join(t.TempDir(), "net"), peers: map[string]string{}, apis: map[string]string{}, nodes: map[string]*node{}}
	ports := freePorts(t, 2*len(members))
	var published []string
	for i := range members {
		published = append(published, strconv.Itoa(ports[2*i]))
	}
	cmd := exec.Command(maker.path(t), "devnet", "homes", "--dir", n.dir, "--published", strings.Join(published, ","))
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making the homes: %v\n%s", err, out)
	}
	for i, m := range members {
		n.apis[m] = fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		n.peers[m] = fmt.Sprintf("%s@127.0.0.1:%d", nodeID(t, n.home(m)), ports[2*i+1])
	}
	for _, m := range members {
		n.configure(m)
	}
	for _, m := range members {
		n.start(m, plain)
	}
	if out, err := exec.Command(plain.path(t), "devnet", "submit-key", "--home", n.home(vendor), "--timeout", "90s").CombinedOutput(); err != nil {
		t.Fatalf("registering the submit key: %v\n%s", err, out)
	}
	n.submitter()
	return n
}

func (n *network) home(member string) string { return filepath.Join(n.dir, member) }

// configure sets addresses and a heartbeat of two seconds.
func (n *network) configure(member string) {
	n.t.Helper()
	path := filepath.Join(n.home(member), "qifeng.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	var peers []string
	for m, p := range n.peers {
		if m == member {
			continue
		}
		if n.links != nil {
			id, addr, _ := strings.Cut(p, "@")
			p = id + "@" + n.links.to(member, m, addr)
		}
		peers = append(peers, strconv.Quote(p))
	}
	_, own, _ := strings.Cut(n.peers[member], "@")
	for old, now := range map[string]string{
		"listen = '0.0.0.0:8100'": "listen = '" + n.apis[member] + "'",
		"listen = '0.0.0.0:8110'": "listen = '" + own + "'",
		"peers = []":              "peers = [" + strings.Join(peers, ", ") + "]",
		"allow_remote = true":     "allow_remote = false",
		"heartbeat = '1m0s'":      "heartbeat = '2s'",
	} {
		if bytes.Count(text, []byte(old)) != 1 {
			n.t.Fatalf("%s does not have %q once:\n%s", path, old, text)
		}
		text = bytes.Replace(text, []byte(old), []byte(now), 1)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) start(member string, b *build, env ...string) *node {
	n.t.Helper()
	p := &node{cmd: exec.Command(b.path(n.t), "start", "--home", n.home(member)), log: filepath.Join(n.home(member), "log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = dieWithTest()
	if err := p.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	n.nodes[member] = p
	n.t.Cleanup(func() { n.end(p, syscall.SIGTERM) })
	return p
}

func (n *network) stop(member string) {
	n.t.Helper()
	n.end(n.nodes[member], syscall.SIGTERM)
}

func (n *network) end(p *node, sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // one that has ended needs none
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		n.t.Errorf("%v had not ended 15 s after %v", p.cmd.Args, sig)
	}
}

// logs waits until a member's log has a line with all of texts.
func (n *network) logs(member string, texts ...string) {
	n.t.Helper()
	n.eventually(10*time.Second, fmt.Sprintf("%s logs %q", member, texts), func() error {
		log, err := os.ReadFile(n.nodes[member].log)
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

// eventually polls until ok returns nil.
func (n *network) eventually(d time.Duration, what string, ok func() error) {
	n.t.Helper()
	deadline := time.Now().Add(d)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: not within %v: %v", what, d, err)
		}
		time.Sleep(50 * time.Millisecond) // between two looks, never for a result
	}
}

func (n *network) status(member string) (*client.Status, error) {
	c, err := client.New("http://"+n.apis[member], client.Options{Attempts: 1, Timeout: 3 * time.Second})
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
	cmd := exec.Command(plain.path(n.t), "status", "--home", n.home(member), "--lang", "en")
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
		if files, _ := filepath.Glob(filepath.Join(n.home(m), "data", "fraud", "*")); len(files) > 0 {
			n.t.Errorf("fraud proofs at %s: %v", m, files)
		}
	}
}

func (n *network) submitter() {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.home(vendor), "policy.txt"))
	if err != nil {
		n.t.Fatal(err)
	}
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		n.t.Fatal(err)
	}
	key, err := gm.LoadPrivateKey(filepath.Join(n.home(vendor), "keys", "submit.pem"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.sub = &client.Submitter{ChainID: policy.Chain, Member: vendor, KeyName: "submit", Signer: key}
	n.sub.Source.System, n.sub.Source.Mechanism, n.sub.Source.Environment = "vendor_platform", "automatic", "test"
	read, err := gm.LoadPrivateKey(filepath.Join(n.home(vendor), "keys", "read.pem"))
	if err != nil {
		n.t.Fatal(err)
	}
	o := client.Options{Attempts: 5, Timeout: 20 * time.Second, KeyID: httpsig.KeyID(vendor, "read"), Signer: read}
	if n.cl, err = client.New("http://"+n.apis[vendor], o); err != nil {
		n.t.Fatal(err)
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
	text, err := os.ReadFile(filepath.Join(n.home(vendor), "policy.txt"))
	if err != nil {
		n.t.Fatal(err)
	}
	p, err := checkpoint.ParsePolicy(text)
	if err != nil {
		n.t.Fatal(err)
	}
	if r := proof.Verify(f, p, nil, proof.Options{}); r.Result != proof.Proved {
		n.t.Fatalf("the proof of %s does not hold:\n%s", id, r.Text(proof.English))
	}
}

func nodeID(t testing.TB, home string) string {
	t.Helper()
	var card struct {
		Body struct {
			NodeID string `json:"node_id"`
		}
	}
	b, err := os.ReadFile(filepath.Join(home, "card.json"))
	if err == nil {
		err = json.Unmarshal(b, &card)
	}
	if err == nil && card.Body.NodeID == "" {
		err = errors.New("the card has no node id")
	}
	if err != nil {
		t.Fatal(err)
	}
	return card.Body.NodeID
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var out []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // all at the end, so that none is given twice
		out = append(out, ln.Addr().(*net.TCPAddr).Port)
	}
	return out
}
